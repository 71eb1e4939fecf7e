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
};

export type RunningDeadlines = {
  /** Aborted when one has passed. */
  readonly signal: AbortSignal;
  /** The headers are there. */
  readonly reached: () => void;
  /** What has passed, as a problem. */
  readonly passed: () => Problem;
  readonly stop: () => void;
};

/** Starts them, all from now on. */
export function startDeadlines({ connectWithinMs, beginWithinMs, endWithinMs }: OpeningDeadlines): RunningDeadlines {
  const controller = new AbortController();
  let code: ProblemCode = "total_timeout";
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
    passed: () => new Problem(code),
    stop: () => {
      stopConnect();
      if (begin !== null) clearTimeout(begin);
    },
  };
}
