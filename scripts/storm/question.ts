/** What is asked in a storm, by whom, and how long the caller stays. Decided by chance alone; no I/O. */
import type { PrincipalName } from "#scripts/stack/principals.ts";
import { oneOf } from "./chance.ts";
import { LEAVING } from "./scale.ts";

export type Question = {
  readonly number: number;
  readonly caller: Exclude<PrincipalName, "monitoring"> | "apiKey";
  readonly path: "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings";
  readonly body: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
  /** After the request was sent; null for a caller who stays to the end. */
  readonly leavesAfterMs: number | null;
};

const CALLERS = ["basic", "default", "premium", "enterprise", "admin", "apiKey"] as const;
/** Models that are asked for streams, so that a host that is cut has said what it made; and for whole answers. */
const STREAMED = ["llama-3.1-70b", "llama-3.1-8b", "mixtral-8x7b", "openchat-3.5"] as const;
const WHOLE = ["hermes-2", "phi-3-mini", "bge-small-en-v1.5"] as const;
const STREAMS = 0.7;
const LONGEST_ANSWER = 60;
const LONGEST_STAY_MS = 1_500;

/** The header by which a row of the ledger is known for the answer to a question. */
export const WORKFLOW_HEADER = "x-workflow-id";
export const WORKFLOW_PREFIX = "storm-";

export function question(number: number, chance: () => number): Question {
  const stream = chance() < STREAMS;
  const model = stream ? oneOf(STREAMED, chance) : oneOf(WHOLE, chance);
  const text = `question ${number} of the storm`;
  const prompt = `${text} [[tokens=${1 + Math.floor(chance() * LONGEST_ANSWER)}]]`;
  const common = { model, ...(stream ? { stream, ...usageWish(chance) } : {}) };
  const raw = model === "llama-3.1-70b" && chance() < 0.5;
  const body = raw ? { ...common, prompt } : { ...common, messages: [{ role: "user", content: prompt }] };
  const embeds = model === "bge-small-en-v1.5";
  return {
    number,
    caller: oneOf(CALLERS, chance),
    path: embeds ? "/v1/embeddings" : raw ? "/v1/completions" : "/v1/chat/completions",
    body: embeds ? { model, input: text } : body,
    stream,
    leavesAfterMs: stream && chance() < LEAVING / STREAMS ? chance() * LONGEST_STAY_MS : null,
  };
}

function usageWish(chance: () => number): object {
  return chance() < 0.5 ? { stream_options: { include_usage: true } } : {};
}
