import { BRIEF } from "#scripts/chaos/streams/scale.ts";
import { streams } from "#scripts/chaos/streams/streams.ts";
import { briefly } from "./brief-chaos.ts";

const only = BRIEF.rounds.flat();

briefly(
  "hosts that die on their answers, callers who leave or read slowly: no stream breaks unsaid",
  only,
  (surroundings) => streams({ scale: BRIEF, only, ...surroundings }),
);
