/**
 * The one stream stage: a host's answer on its way to the caller.
 *
 * A pull-based JS stream without a buffer of its own (measured: the cheapest shape with all six properties): the first
 * chunk passes before the second arrives; a caller who leaves is noticed at the next write, and heartbeats make sure
 * that there is one; a host that dies anywhere ends in one parsable error event; a slow reader slows the host. Whole
 * events only, so that a heartbeat or an error never lands inside one.
 */
import { Problem, sseError } from "#src/problem.ts";
import { EventTooLarge } from "#src/sse.ts";
import { type AnswerStream, BrokenStream } from "./answer-stream.ts";
import { HEARTBEAT_MS, startHeartbeat } from "./heartbeat.ts";

const PING = new TextEncoder().encode(": ping\n\n");

/** A host's answer, once it has begun. */
export type Source = { readonly body: ReadableStream<Uint8Array>; readonly stream: AnswerStream };

export type RelayEnd =
  | { readonly kind: "complete" }
  | { readonly kind: "client_left" }
  | { readonly kind: "upstream_error"; readonly problem: Problem };

export type Deadlines = {
  /** From the beginning of the host's answer to the first content. */
  readonly firstTokenMs: number;
  readonly betweenTokensMs: number;
  readonly totalMs: number;
};

export type RelayOptions = {
  readonly deadlines: Deadlines;
  readonly heartbeatMs?: number;
  /** Ends the exchange with the host. */
  readonly hangUp: () => void;
  readonly now: () => number;
};

/**
 * Relays one answer.
 *
 * @param opening the host's answer, which may not have begun yet; a rejection with a `Problem` ends in an error event
 * @returns the body for the caller, and how it ended: `ended` never rejects, and settles however the stream ends
 */
export function relay(
  opening: Promise<Source>,
  { deadlines, heartbeatMs = HEARTBEAT_MS, hangUp, now }: RelayOptions,
): { body: ReadableStream<Uint8Array>; ended: Promise<RelayEnd>; firstContentAtMs: () => number | null } {
  const { promise: ended, resolve } = Promise.withResolvers<RelayEnd>();
  const startedAtMs = now();
  let reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  let stream: AnswerStream | null = null;
  let stopHeartbeat = (): void => undefined;
  let over = false;
  /** Since when a read has been waiting for the host; null while the host waits for the caller. */
  let waitingSinceMs: number | null = null;
  /** Waited for the next content before that, over reads that brought none: pings and counts are no tokens. */
  let waitedMs = 0;
  let heardAtMs = startedAtMs;
  /** When the host began its answer; until then its beginning has deadlines of its own, host by host. */
  let openedAtMs: number | null = null;
  let firstContentAtMs: number | null = null;

  // Nobody else awaits it when the caller leaves before the first read.
  opening.catch(() => undefined);
  const end = (how: RelayEnd): void => {
    over = true;
    stopHeartbeat();
    resolve(how);
  };
  const complete = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    end({ kind: "complete" });
    controller.close();
  };
  const fail = (controller: ReadableStreamDefaultController<Uint8Array>, problem: Problem): void => {
    if (over) return;
    hangUp();
    // A host that fails or falls silent behind a whole answer takes nothing from it.
    if (stream?.endedWell === true) {
      complete(controller);
      return;
    }
    end({ kind: "upstream_error", problem });
    controller.enqueue(sseError(problem));
    controller.close();
  };
  const next = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    try {
      if (reader === null || stream === null) {
        const source = await opening;
        if (over) return;
        stream = source.stream;
        reader = source.body.getReader();
        openedAtMs = now();
      }
      for (;;) {
        const part = await reader.read();
        if (over) return;
        if (part.done) {
          if (!stream.endedWell) throw new BrokenStream("the host ended the stream in the middle of the answer");
          complete(controller);
          return;
        }
        heardAtMs = now();
        const { contentPieces } = stream.tally;
        const out = stream.push(part.value);
        const isContent = stream.tally.contentPieces > contentPieces;
        if (firstContentAtMs === null && stream.hasContent) firstContentAtMs = heardAtMs;
        if (out !== null) controller.enqueue(out);
        if (stream.broken !== null) throw stream.broken;
        if (out === null) continue;
        waitedMs = isContent ? 0 : waitedMs + heardAtMs - (waitingSinceMs ?? heardAtMs);
        waitingSinceMs = null;
        return;
      }
    } catch (cause) {
      fail(controller, problemOf(cause));
    }
  };
  const lateness = (nowMs: number): string | null => {
    if (nowMs - startedAtMs > deadlines.totalMs) return "The answer took longer than its deadline.";
    if (waitingSinceMs === null) return null;
    if (firstContentAtMs === null) {
      const isLate = openedAtMs !== null && nowMs - openedAtMs > deadlines.firstTokenMs;
      return isLate ? "The first token did not come within its deadline." : null;
    }
    return waitedMs + nowMs - waitingSinceMs > deadlines.betweenTokensMs
      ? "The next token did not come within its deadline."
      : null;
  };
  const beat = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    if (over) return;
    const nowMs = now();
    const message = lateness(nowMs);
    if (message !== null) {
      fail(controller, new Problem("upstream_timeout", { message }));
    } else if (waitingSinceMs !== null && nowMs - heardAtMs >= heartbeatMs / 2 && (controller.desiredSize ?? -1) >= 0) {
      // Nothing piles up for a caller who does not read: one heartbeat waits at most.
      controller.enqueue(PING);
    }
  };

  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        // Twice a beat: a stream that falls silent just after one look is seen by the next, within one beat.
        const shortest = Math.min(
          heartbeatMs / 2,
          deadlines.firstTokenMs,
          deadlines.betweenTokensMs,
          deadlines.totalMs,
        );
        stopHeartbeat = startHeartbeat(shortest, () => beat(controller));
      },
      // The promise must be returned, or pull runs again while a read is on its way.
      pull(controller) {
        waitingSinceMs = now();
        return next(controller);
      },
      cancel() {
        if (over) return;
        end({ kind: stream?.endedWell === true ? "complete" : "client_left" });
        hangUp();
      },
    },
    { highWaterMark: 0 },
  );
  return { body, ended, firstContentAtMs: () => firstContentAtMs };
}

function problemOf(cause: unknown): Problem {
  if (cause instanceof Problem) return cause;
  const known = cause instanceof BrokenStream || cause instanceof EventTooLarge;
  const message = known ? `The host failed in the middle of the answer: ${cause.message}.` : undefined;
  return new Problem("upstream_error", { cause, ...(message === undefined ? {} : { message }) });
}
