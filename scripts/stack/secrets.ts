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
 * The engines' API keys that a catalog names, and the Access service token when it is set or a host is reached with it.
 *
 * @param file the catalog's file for the message, or null for the bundled one
 * @param mayMake true when the hosts are the lab's, which accept any key
 * @throws Refusal (exit code 2) naming every place in the catalog and its variables
 */
export function engineKeys(
  catalog: Catalog,
  file: string | null,
  mayMake: boolean,
  env: NodeJS.ProcessEnv,
): Record<string, string> {
  const keys: Record<string, string> = {};
  const has = (name: string): boolean => {
    const given = env[name];
    if (given !== undefined && given !== "") keys[name] = given;
    return name in keys;
  };
  const accessMissing = ACCESS_TOKEN.filter((name) => !has(name));
  const missing = catalog.hosts.flatMap(({ id, keyFrom, reach }, at) => {
    const found: Missing[] = [];
    if (reach.via === "access" && accessMissing.length > 0) {
      const reason = `${id} is reached with an Access service token. Set ${accessMissing.join(" and ")}.`;
      found.push({ path: `hosts.${at}.reach.via`, variables: accessMissing, reason });
    }
    if (keyFrom === undefined || has(keyFrom)) return found;
    if (mayMake) keys[keyFrom] = randomBytes(24).toString("base64url");
    else {
      const reason = `the key of ${id} is in ${keyFrom}, but that variable is not set. Set it to the engine's API key, or leave keyFrom out if the engine needs none.`;
      found.push({ path: `hosts.${at}.keyFrom`, variables: [keyFrom], reason });
    }
    return found;
  });
  if (missing.length > 0) throw new Refusal(2, file === null ? labSentence(missing) : fileSentence(file, missing));
  return keys;
}

type Missing = { readonly path: string; readonly variables: readonly string[]; readonly reason: string };

function fileSentence(file: string, missing: readonly Missing[]): string {
  const lines = missing.map(({ path, reason }) => `  ${path}: ${reason}`);
  return `The catalog ${file} needs what the environment does not hold:\n${lines.join("\n")}`;
}

function labSentence(missing: readonly Missing[]): string {
  const names = [...new Set(missing.flatMap(({ variables }) => variables))].join(" and ");
  return `--no-lab wants --catalog FILE with your own hosts, because the bundled catalog names the lab's. If hosts of yours listen at its addresses, set their keys instead: ${names}.`;
}
