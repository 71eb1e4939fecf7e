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

export type Keeping = {
  /** The ledger stores it. */
  readonly isStored: boolean;
  /** Characters from which another host could carry the answer on; 0 where none may. */
  readonly forSeam: number;
  /** What the host holds back (`upstream/continuation.ts`). */
  readonly heldCharacters: number;
};

/** A dialect whose streams remember the words that pass, as far as somebody will want them. */
export function keepingText(dialect: Dialect, { isStored, forSeam, heldCharacters }: Keeping): Dialect {
  const forLedger = isStored ? LONGEST_CONTENT : 0;
  const stream = () => {
    const answer = dialect.stream();
    answer.keepText(Math.max(forSeam, forLedger), heldCharacters, forLedger);
    return answer;
  };
  return { ...dialect, stream };
}
