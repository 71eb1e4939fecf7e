/** The secrets a Worker is started with, by variable name. Values come from the environment or are made; none is shown. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Catalog } from "#src/catalog/schema.ts";
import { Refusal } from "./refusal.ts";
import { keptSecret, type StateDir } from "./state-dir.ts";

/** 32 characters are the least that the Worker accepts (src/env.ts). */
const MIN_SECRET_CHARS = 32;
/** The Cloudflare Access service token, for hosts that are reached `via: "access"`. */
const ACCESS_TOKEN = ["ACCESS_CLIENT_ID", "ACCESS_CLIENT_SECRET"];

/**
 * The gateway's own secret: from the environment, else made once per state folder.
 *
 * @throws Refusal (exit code 2) when the environment's is too short
 */
export function gatewaySecret(state: StateDir, env: NodeJS.ProcessEnv): string {
  const given = env.CAUSEWAY_SECRET;
  if (given === undefined) return keptSecret(join(state.root, "secret"));
  if (given.length >= MIN_SECRET_CHARS) return given;
  throw new Refusal(
    2,
    `CAUSEWAY_SECRET has ${given.length} characters and needs ${MIN_SECRET_CHARS}, because API keys are only as strong as it is. Unset it to have one made, or set a longer one: openssl rand -base64 32`,
  );
}

/**
 * The engines' API keys that a catalog names, and the Access service token when it is set.
 *
 * @param file the catalog's file for the message, or null for the bundled one
 * @param mayMake true when the hosts are the lab's, which accept any key
 * @throws Refusal (exit code 2) naming the place in the catalog and the variable
 */
export function engineKeys(
  catalog: Catalog,
  file: string | null,
  mayMake: boolean,
  env: NodeJS.ProcessEnv,
): Record<string, string> {
  const keys: Record<string, string> = {};
  catalog.hosts.forEach(({ id, keyFrom }, at) => {
    if (keyFrom === undefined || keyFrom in keys) return;
    const given = env[keyFrom];
    if (given !== undefined && given !== "") keys[keyFrom] = given;
    else if (mayMake) keys[keyFrom] = randomBytes(24).toString("base64url");
    else {
      const where = `hosts.${at}.keyFrom in ${file ?? "the bundled catalog"}`;
      throw new Refusal(
        2,
        `${where} says that the key of ${id} is in ${keyFrom}, but that variable is not set. Set it to the engine's API key, or leave keyFrom out if the engine needs none.`,
      );
    }
  });
  for (const name of ACCESS_TOKEN) {
    const given = env[name];
    if (given !== undefined && given !== "") keys[name] = given;
  }
  return keys;
}
