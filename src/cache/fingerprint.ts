/**
 * Whether an answer may be kept, and under which name. Pure but for Web Crypto.
 *
 * The name is an HMAC over canonical JSON of everything that shapes the answer, so two questions share it only when an
 * engine could not tell them apart, and nobody can guess a name from a prompt.
 */
import type { Model } from "#src/catalog/schema.ts";
import { hmac } from "#src/hmac.ts";
import type { JsonObject } from "#src/json.ts";

/** Part of every name: raised when what is stored changes shape. */
const VERSION = 1;

export type Cacheability = "cacheable" | "bypass";

/**
 * May this question be answered from the cache, and its answer kept?
 *
 * The operator opens the cache per model. A caller who asks for variety (a temperature above 0 without a seed), for
 * tools, for several answers or with `Cache-Control: no-store` or `no-cache` is never served from it.
 */
export function cacheability(model: Model, body: JsonObject, cacheControl: string | null): Cacheability {
  if (model.cache === undefined || body.stream === true) return "bypass";
  if (/\bno-(store|cache)\b/i.test(cacheControl ?? "")) return "bypass";
  if (body.tools !== undefined || body.functions !== undefined) return "bypass";
  if (typeof body.n === "number" && body.n > 1) return "bypass";
  const varied = typeof body.temperature === "number" && body.temperature > 0 && typeof body.seed !== "number";
  return varied ? "bypass" : "cacheable";
}

/**
 * The KV key of a question's answer.
 *
 * @param scope whose answers are shared: the principal's account, or null for a model shared by all
 * @param revision what would make another answer: the hosts' names for the model
 */
export async function fingerprint(
  secret: string,
  scope: string | null,
  route: string,
  revision: readonly string[],
  body: JsonObject,
): Promise<string> {
  const mac = await hmac(secret, "cache", canonical({ version: VERSION, scope, route, revision, body }));
  return `cache:${Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** JSON with the members of every object in one order, so that key order does not matter and types do. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
