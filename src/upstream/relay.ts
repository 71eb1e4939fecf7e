/**
 * The one stream stage: a host's answer on its way to the caller.
 *
 * A pull-based JS stream without a buffer of its own (measured: the cheapest shape with all six properties): the first
 * chunk passes before the second arrives; a caller who leaves is noticed at the next write, and heartbeats make sure
 * that there is one; a host that dies anywhere ends in one parsable error event; a slow reader slows the host. Whole
 * events only, so that a heartbeat or an error never lands inside one.
 */
import { Problem } from "#src/problem.ts";
import { EventTooLarge } from "#src/sse.ts";
import { type AnswerStream, BrokenStream } from "./answer-stream.ts";
import { HEARTBEAT_MS, startHeartbeat } from "./heartbeat.ts";
import { lastWords } from "./last-words.ts";
import type { Voice } from "./voice.ts";

const PING = new TextEncoder().encode(": ping\n\n");

/** A host's answer that has begun: what was read of it until its first content, and the way to the rest. */
export type Source = {
  readonly reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read">;
  readonly stream: AnswerStream;
  /** For the caller already; null when there was nothing. */
  readonly head: Uint8Array | null;
};

export type RelayEnd =
  | { readonly kind: "complete" }
  | { readonly kind: "client_left" }
  | { readonly kind: "upstream_error"; readonly problem: Problem };

export type Deadlines = {
  /** From one content to the next. The first has a deadline of its own where the answer is opened, host by host. */
  readonly betweenTokensMs: number;
  readonly totalMs: number;
};

export type RelayOptions = {
  readonly deadlines: Deadlines;
  readonly heartbeatMs?: number;
  /** Says it in the caller's protocol. */
  readonly voice: Voice;
  /** Ends the exchange with the host. */
  readonly hangUp: () => void;
  readonly now: () => number;
};

export type Relayed = {
  /** For the caller. */
  readonly body: ReadableStream<Uint8Array>;
  /** Never rejects, and settles however the stream ends. */
  readonly ended: Promise<RelayEnd>;
  readonly firstContentAtMs: () => number | null;
  /** The caller has left. Cancelling the body says the same; said twice, it counts once. */
  readonly leave: () => Promise<void>;
};

/**
 * Relays one answer.
 *
 * @param opening the host's answer, which may not have begun yet; a rejection with a `Problem` ends in an error event
 */
export function relay(
  opening: Promise<Source>,
  { deadlines, heartbeatMs = HEARTBEAT_MS, voice, hangUp, now }: RelayOptions,
): Relayed {
  const { promise: ended, resolve } = Promise.withResolvers<RelayEnd>();
  const startedAtMs = now();
  let source: Source | null = null;
  let reading: ReturnType<Source["reader"]["read"]> | null = null;
  let stopHeartbeat = (): void => undefined;
  let over = false;
  /** Since when a read has been waiting for the host; null while the host waits for the caller. */
  let waitingSinceMs: number | null = null;
  /** Waited for the next content before that, over reads that brought none: pings and counts are no tokens. */
  let waitedMs = 0;
  let wroteAtMs = startedAtMs;
  let firstContentAtMs: number | null = null;

  // Nobody else awaits it when the caller leaves before the first read.
  opening.catch(() => undefined);
  const end = (how: RelayEnd): void => {
    over = true;
    stopHeartbeat();
    resolve(how);
  };
  const complete = (controller: Controller): void => {
    end({ kind: "complete" });
    controller.close();
  };
  const fail = (controller: Controller, problem: Problem): void => {
    if (over) return;
    hangUp();
    end({ kind: "upstream_error", problem });
    controller.enqueue(voice.fail(problem));
    controller.close();
  };
  const write = (controller: Controller, bytes: Uint8Array): void => {
    wroteAtMs = now();
    controller.enqueue(bytes);
  };
  /** The next bytes for the caller: the head first, then what the host sends. Null when what came holds none. */
  const read = async (): Promise<{ out: Uint8Array | null; stream: AnswerStream }> => {
    if (source === null) {
      source = await opening;
      if (over) return { out: null, stream: source.stream };
      if (source.stream.hasContent) firstContentAtMs = now();
      if (source.head !== null) return { out: source.head, stream: source.stream };
    }
    const { reader, stream } = source;
    reading = reader.read();
    const part = await reading;
    // A caller who has left needs nothing more: `lastWords` counts it.
    if (over) return { out: null, stream };
    reading = null;
    if (part.done) {
      const ending = stream.finish();
      if (ending === null) throw new BrokenStream("the host ended the stream in the middle of the answer");
      return { out: ending, stream };
    }
    const { contentPieces } = stream.tally;
    const out = stream.push(part.value);
    if (firstContentAtMs === null && stream.hasContent) firstContentAtMs = now();
    const isContent = stream.tally.contentPieces > contentPieces;
    waitedMs = isContent ? 0 : waitedMs + now() - (waitingSinceMs ?? now());
    waitingSinceMs = now();
    return { out, stream };
  };
  const next = async (controller: Controller): Promise<void> => {
    try {
      for (;;) {
        const { out, stream } = await read();
        if (over) return;
        const said = out === null || stream.protocol !== "openai" ? out : voice.say(out);
        if (said !== null) write(controller, said);
        if (stream.broken !== null) throw stream.broken;
        if (stream.endedWell) {
          complete(controller);
          // Its end is read, so that the connection can be used again; a host that goes on is cut off.
          source?.reader.read().then(({ done }) => done || hangUp(), hangUp);
          return;
        }
        if (said === null) continue;
        waitingSinceMs = null;
        return;
      }
    } catch (cause) {
      fail(controller, problemOf(cause));
    }
  };
  const leave = async (): Promise<void> => {
    if (over) return;
    over = true;
    stopHeartbeat();
    // A host that has gone as well leaves what was counted.
    if (source !== null) await lastWords(source.reader, source.stream, reading).catch(() => undefined);
    hangUp();
    end({ kind: source?.stream.endedWell === true ? "complete" : "client_left" });
  };
  const lateness = (nowMs: number): string | null => {
    if (nowMs - startedAtMs > deadlines.totalMs) return "The answer took longer than its deadline.";
    if (waitingSinceMs === null || source === null) return null;
    const isLate = waitedMs + nowMs - waitingSinceMs > deadlines.betweenTokensMs;
    return isLate ? "The next token did not come within its deadline." : null;
  };
  const beat = (controller: Controller): void => {
    if (over) return;
    const nowMs = now();
    const message = lateness(nowMs);
    if (message !== null) {
      fail(controller, new Problem("upstream_timeout", { message }));
    } else if (waitingSinceMs !== null && nowMs - wroteAtMs >= heartbeatMs / 2 && (controller.desiredSize ?? -1) >= 0) {
      // Nothing piles up for a caller who does not read: one heartbeat waits at most. That it was written does not
      // count as a sign of life of the host's, so the next beat writes again.
      controller.enqueue(PING);
    }
  };

  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        // Twice a beat: a stream that falls silent just after one look is seen by the next, within one beat.
        const shortest = Math.min(heartbeatMs / 2, deadlines.betweenTokensMs, deadlines.totalMs);
        stopHeartbeat = startHeartbeat(shortest, () => beat(controller));
      },
      // The promise must be returned, or pull runs again while a read is on its way.
      pull(controller) {
        waitingSinceMs = now();
        return next(controller);
      },
      cancel: leave,
    },
    { highWaterMark: 0 },
  );
  return { body, ended, firstContentAtMs: () => firstContentAtMs, leave };
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

function problemOf(cause: unknown): Problem {
  if (cause instanceof Problem) return cause;
  const known = cause instanceof BrokenStream || cause instanceof EventTooLarge;
  const message = known ? `The host failed in the middle of the answer: ${cause.message}.` : undefined;
  return new Problem("upstream_error", { cause, ...(message === undefined ? {} : { message }) });
}
