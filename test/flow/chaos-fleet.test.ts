import { fleet } from "#scripts/chaos/fleet.ts";
import { BRIEF } from "#scripts/chaos/scale.ts";
import { briefly } from "./brief-chaos.ts";

const only = BRIEF.rounds.flat();

briefly(
  "a host that is killed, three times the load, shares and warmth: the fleet holds what it promises",
  only,
  (surroundings) => fleet({ scale: BRIEF, only, ...surroundings }),
);
