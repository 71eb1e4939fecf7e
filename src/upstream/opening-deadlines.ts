/**
 * The deadlines of an answer that has not begun: for the host's headers, for its first content, for all of it. The
 * first that passes ends the exchange, and is told by a code of its own.
 */
import { Problem, type ProblemCode } from "#src/problem.ts";

export type OpeningDeadlines = {
  /** Null: headers may come with the answer. */
  readonly connectWithinMs: number | null;
  /** Null: nothing tells when it begins. */
  readonly beginWithinMs: number | null;
  readonly endWithinMs: number;
  /** Aborted when the caller has left, which ends the exchange as well. */
  readonly left: AbortSignal;
};

export type RunningDeadlines = {
  /** Aborted when one has passed, and when the caller has left, also long after the beginning. */
  readonly signal: AbortSignal;
  /** Whether one has passed. */
  readonly isLate: () => boolean;
  /** The headers are there. */
  readonly reached: () => void;
  /** What has passed, as a problem. */
  readonly passed: () => Problem;
  readonly stop: () => void;
};

/** Starts them, all from now on. */
export function startDeadlines({
  connectWithinMs,
  beginWithinMs,
  endWithinMs,
  left,
}: OpeningDeadlines): RunningDeadlines {
  // One controller for both reasons: a signal of two signals is two more objects of the platform's.
  const controller = new AbortController();
  if (left.aborted) controller.abort(left.reason);
  else left.addEventListener("abort", () => controller.abort(left.reason), { once: true });
  let code: ProblemCode | null = null;
  const after = (withinMs: number | null, late: ProblemCode) =>
    withinMs === null
      ? null
      : setTimeout(() => {
          code = late;
          controller.abort();
        }, withinMs);
  const connect = after(connectWithinMs, "connect_timeout");
  // Whichever is sooner, it is one wait, and one timer.
  const isEndFirst = beginWithinMs === null || endWithinMs < beginWithinMs;
  const begin = isEndFirst ? after(endWithinMs, "total_timeout") : after(beginWithinMs, "first_token_timeout");
  const stopConnect = (): void => {
    if (connect !== null) clearTimeout(connect);
  };
  return {
    signal: controller.signal,
    reached: stopConnect,
    isLate: () => code !== null,
    passed: () => new Problem(code ?? "total_timeout"),
    stop: () => {
      stopConnect();
      if (begin !== null) clearTimeout(begin);
    },
  };
}
