/** The contestants by the names that the command line has for them. Starts none. */
import { bare } from "./bare.ts";
import { bifrost } from "./bifrost.ts";
import { causeway } from "./causeway.ts";
import type { Contestant } from "./contestant.ts";
import { direct } from "./direct.ts";
import { litellm } from "./litellm.ts";
import type { ContestantKey } from "./names.ts";
import { nginx } from "./nginx.ts";
import { portkey } from "./portkey.ts";
import { portkeyOnWorkerd } from "./portkey-workerd.ts";

/** @param env where PATH is taken from */
export function contestantsOf(keys: readonly ContestantKey[], env: NodeJS.ProcessEnv): Contestant[] {
  const field: Readonly<Record<ContestantKey, Contestant>> = {
    direct,
    nginx: nginx(env),
    bare,
    causeway,
    "portkey-workerd": portkeyOnWorkerd(env),
    portkey: portkey(env),
    litellm: litellm(env),
    bifrost: bifrost(env),
  };
  return keys.map((key) => field[key]);
}
