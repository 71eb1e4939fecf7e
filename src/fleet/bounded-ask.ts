/**
 * One question to a host that may be slow, endless or hostile: answered within a time and a size, or not at all. Never
 * rejects. What is not read is let go.
 */
import { concat } from "#src/bytes.ts";
import type { Ask, AskInit } from "#src/upstream/reach.ts";

export type Answer = {
  readonly status: number;
  /** As much of the body as was wanted. */
  readonly text: string;
  /** Whether that is all of it. */
  readonly isWhole: boolean;
};
/** No answer, and why: words of this file, since what a fetcher throws may hold addresses. */
export type Silence = { readonly silence: string };
export type Bounds = { readonly withinMs: number; readonly maxBytes: number };

/**
 * Asks, and reads the beginning of the answer.
 *
 * @param ask reaches a path on the host
 * @param withinMs for the whole of it, the body included
 */
export async function askBounded(
  ask: Ask,
  path: string,
  init: AskInit,
  { withinMs, maxBytes }: Bounds,
): Promise<Answer | Silence> {
  const over = new AbortController();
  const late = scheduler
    .wait(withinMs, { signal: over.signal })
    .then(() => ({ silence: `no answer within ${withinMs / 1000} s` }));
  try {
    return await Promise.race([heard(ask, path, { ...init, signal: over.signal }, maxBytes), late]);
  } finally {
    over.abort();
  }
}

async function heard(ask: Ask, path: string, init: AskInit, maxBytes: number): Promise<Answer | Silence> {
  try {
    const { status, body } = await ask(path, init);
    return { status, ...(await beginningOf(body, maxBytes)) };
  } catch {
    return { silence: "no connection" };
  }
}

async function beginningOf(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<Pick<Answer, "text" | "isWhole">> {
  const pieces: Uint8Array[] = [];
  let seenBytes = 0;
  for await (const piece of body ?? []) {
    pieces.push(piece.subarray(0, maxBytes - seenBytes));
    seenBytes += piece.byteLength;
    // Leaving the loop cancels the rest.
    if (seenBytes > maxBytes) break;
  }
  return { text: new TextDecoder().decode(concat(pieces)), isWhole: seenBytes <= maxBytes };
}
