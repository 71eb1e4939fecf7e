/** The protocols that callers speak. Each is asked as chat inside; a wording says the answer in the caller's own. */
import type { JsonObject } from "#src/json.ts";
import { openAiError, type Problem } from "#src/problem.ts";
import { PLAIN, type Voice } from "#src/upstream/voice.ts";

export type Protocol = "openai" | "responses" | "messages";

export type Wording = {
  readonly protocol: Protocol;
  /** A whole `chat.completion` as the caller's protocol has it. */
  readonly whole: (answer: JsonObject) => JsonObject;
  /** For one stream. */
  readonly voice: () => Voice;
  /** The body of an error. */
  readonly error: (problem: Problem) => object;
};

/** OpenAI's chat, raw completions and embeddings: nothing is said otherwise than the host said it. */
export const OPENAI: Wording = {
  protocol: "openai",
  whole: (answer) => answer,
  voice: () => PLAIN,
  error: openAiError,
};
