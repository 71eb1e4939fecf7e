/** What the ledger keeps of a question and its answer, where the catalog stores a model's content. Pure. */

import type { JsonObject } from "#src/json.ts";
import type { Dialect } from "#src/upstream/dialect.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import type { Question } from "./question.ts";

/** Characters of each of the two. */
const LONGEST_CONTENT = 16_384;
/** A queue message holds 128 kB in all, as JSON, where a character may take six bytes. */
const LARGEST_CONTENT_BYTES = 56_000;

/**
 * The two texts of one request.
 *
 * @param answer the words of the answer, as far as they came
 */
export function contentOf({ body }: Question, answer: string): NonNullable<InferenceEvent["content"]> {
  const asked = body.messages ?? body.prompt ?? body.input ?? body.query ?? null;
  const prompt = typeof asked === "string" ? asked : JSON.stringify(asked);
  return { prompt: bounded(prompt), response: bounded(answer) };
}

function bounded(text: string): string {
  const kept = text.slice(0, LONGEST_CONTENT).toWellFormed();
  const bytes = new TextEncoder().encode(JSON.stringify(kept)).byteLength;
  return bytes <= LARGEST_CONTENT_BYTES ? kept : bounded(kept.slice(0, (kept.length * LARGEST_CONTENT_BYTES) / bytes));
}

/** The words of a whole answer; tool calls and embeddings are none. Those of a transcription stand at its top. */
export function wordsOf({ choices, text }: JsonObject): string {
  if (!Array.isArray(choices)) return typeof text === "string" ? text : "";
  const words = choices.map((choice) => choice?.message?.content ?? choice?.text);
  return words.filter((word) => typeof word === "string").join("\n");
}

/**
 * A dialect whose streams remember the words that pass: the ledger's part of them, or as many as are named.
 *
 * @param heldCharacters what the host holds back (`upstream/continuation.ts`)
 */
export function keepingText(dialect: Dialect, characters = LONGEST_CONTENT, heldCharacters = 0): Dialect {
  const stream = () => {
    const answer = dialect.stream();
    answer.keepText(characters, heldCharacters);
    return answer;
  };
  return { ...dialect, stream };
}
