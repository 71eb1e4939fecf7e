/**
 * One token from an engine: the only proof that it works, since a hung one goes on calling itself healthy. It says
 * something of a host that has no traffic; of one that has, the requests themselves say it sooner.
 */
import type { Host } from "#src/catalog/schema.ts";
import type { JsonObject } from "#src/json.ts";
import type { Ask } from "#src/upstream/reach.ts";
import { askBounded, type Bounds } from "./bounded-ask.ts";

/** A first token takes a loaded host a second or two; the gateway's own deadline for one is as long. */
const BOUNDS: Bounds = { withinMs: 10_000, maxBytes: 64 * 1024 };
/** The engine runs and does not do this (an embedding server), or has too much to do: neither is broken. */
const NOT_BROKEN: ReadonlySet<number> = new Set([501, 503]);

/**
 * Has one token generated.
 *
 * @param name the model's name there
 * @returns why the engine is taken for hung or broken; null when it is not. Never rejects
 */
export async function canary(host: Host, ask: Ask, name: string): Promise<string | null> {
  const { path, body } = requestOf(host, name);
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await askBounded(ask, path, init, BOUNDS);
  if ("silence" in answer) return `canary: ${answer.silence}`;
  // A refusal is an answer: of an engine that hangs there is none.
  return answer.status < 500 || NOT_BROKEN.has(answer.status) ? null : `canary: status ${answer.status}`;
}

const PROMPT = "Hi";

function requestOf(host: Host, model: string): { path: string; body: JsonObject } {
  if (host.native) return { path: "/completion", body: { prompt: PROMPT, n_predict: 1, stream: false } };
  if (host.engine === "openai") {
    const messages = [{ role: "user", content: PROMPT }];
    return { path: "/v1/chat/completions", body: { model, messages, max_tokens: 1 } };
  }
  return { path: "/v1/completions", body: { model, prompt: PROMPT, max_tokens: 1 } };
}
