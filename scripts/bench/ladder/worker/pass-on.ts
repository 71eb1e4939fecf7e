/** What every cut ends in: the rest of the way natively, as bare workerd goes it. */
import { type Env, secretOf } from "#src/env.ts";
import type { JsonObject } from "#src/json.ts";
import { pathOf, WHOLE } from "../rungs.ts";

/** The variable that names the engine's base URL. */
const ENGINE = "LADDER_ENGINE";

/** The request as it came, and the engine's answer as it comes. */
export function passOn(env: Env, request: Request): Promise<Response> {
  return fetch(engineUrl(env), request);
}

/** A question that was read, and the engine's answer as it comes. */
export function putTo(env: Env, question: JsonObject): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return fetch(engineUrl(env), { method: "POST", headers, body: JSON.stringify(question) });
}

/** @throws Error when the variable is not set: then this Worker runs where it must not */
function engineUrl(env: Env): string {
  const engine = secretOf(env, ENGINE);
  if (engine === undefined) throw new Error(`the ladder's Worker is not told its engine: ${ENGINE}`);
  return `${engine}${pathOf(WHOLE)}`;
}
