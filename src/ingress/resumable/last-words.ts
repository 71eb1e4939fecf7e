/**
 * What ends a resumable stream that cannot go on, in its caller's protocol. Written down with the stream's beginning: an
 * object that has forgotten the question must still be able to say it.
 */
import { Problem } from "#src/problem.ts";
import type { Wording } from "../wording.ts";

export type LastWords = Readonly<Record<"interrupted" | "cancelled" | "gone", Uint8Array>>;

export function lastWordsOf(wording: Wording): LastWords {
  const words = (code: ConstructorParameters<typeof Problem>[0]) => wording.voice().fail(new Problem(code));
  return {
    interrupted: words("stream_interrupted"),
    cancelled: words("stream_cancelled"),
    gone: words("stream_events_gone"),
  };
}
