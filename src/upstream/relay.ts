/**
 * The one stream stage: a host's answer on its way to the caller.
 *
 * A pull-based JS stream without a buffer of its own (measured: the cheapest shape with all six properties): the first
 * chunk passes before the second arrives; a caller who leaves is noticed at the next write, and heartbeats make sure
 * that there is one; a host that dies anywhere is followed by another that carries on, or by one parsable error event; a
 * slow reader slows the host. Whole events only, so that a heartbeat or an error never lands inside one.
 */
import { Problem } from "#src/problem.ts";
import { EventTooLarge } from "#src/sse.ts";
import { before } from "#src/within.ts";
import { type AnswerStream, BrokenStream } from "./answer-stream.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { lastWords } from "./last-words.ts";
import { NOTHING_YET, tokensOf } from "./tally.ts";
import type { Voice } from "./voice.ts";
import { type Deadlines, Waiting } from "./waiting.ts";

const PING = new TextEncoder().encode(": ping\n\n");
/** A host ends its stream with the last word; one that leaves it open would keep the connection for good. */
const END_WITHIN_MS = 1_000;

/** A host's answer that has begun: what was read of it until its first content, and the way to the rest. */
export type Source = {
  readonly reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">;
  readonly stream: AnswerStream;
  /** For the caller already; null when there was nothing. */
  readonly head: Uint8Array | null;
};

export type RelayEnd =
  | { readonly kind: "complete" }
  | {
      readonly kind: "client_left";
      /** Tokens that the host made and the caller was not there for. */
      readonly unseenTokens: number;
    }
  | { readonly kind: "upstream_error"; readonly problem: Problem };

/**
 * Another host's part, which goes on where a broken stream has ended, and the comment that tells of it; null where there
 * is none. Never rejects.
 */
export type CarryOn = (broken: AnswerStream) => Promise<{ source: Source; comment: Uint8Array } | null>;

export type RelayOptions = {
  readonly deadlines: Deadlines;
  /** When the question came in, ms since the epoch: the whole answer's deadline counts from then. */
  readonly arrivedAtMs: number;
  readonly heartbeatMs: number;
  /** Says it in the caller's protocol. */
  readonly voice: Voice;
  readonly carryOn: CarryOn;
  /** Ends the exchange with whichever host. */
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
  { deadlines, arrivedAtMs, heartbeatMs, voice, carryOn, hangUp, now }: RelayOptions,
): Relayed {
  const { promise: ended, resolve } = Promise.withResolvers<RelayEnd>();
  const waiting = new Waiting(deadlines, arrivedAtMs, now());
  let source: Source | null = null;
  /** What the source brought along, until it is passed on. */
  let head: Uint8Array | null = null;
  let reading: ReturnType<Source["reader"]["read"]> | null = null;
  /** Why the host was hung up on, while its stream goes down. */
  let lost: Problem | null = null;
  let stopHeartbeat = (): void => undefined;
  let over = false;
  let firstContentAtMs: number | null = null;
  /** What the answer had cost when its last events were taken for the caller. */
  let seen = NOTHING_YET;

  const end = (how: RelayEnd): void => {
    over = true;
    stopHeartbeat();
    resolve(how);
  };
  const begin = (begun: Source): Source => {
    source = begun;
    head = begun.head;
    reading = null;
    if (begun.stream.hasContent) firstContentAtMs ??= now();
    return begun;
  };
  // Also when nobody reads: what it brought along is counted if the caller leaves.
  opening.then(
    (begun) => over || begin(begun),
    () => undefined,
  );
  const complete = (controller: Controller): void => {
    if (over) return;
    end({ kind: "complete" });
    controller.close();
    // Its end is read, so that the connection can be used again; a host that goes on is cut off.
    if (source !== null)
      before(END_WITHIN_MS, source.reader.read()).then((part) => part?.done === true || hangUp(), hangUp);
  };
  const fail = (controller: Controller, problem: Problem): void => {
    if (over) return;
    hangUp();
    end({ kind: "upstream_error", problem });
    controller.enqueue(voice.fail(problem));
    controller.close();
  };
  /**
   * Passes it on in the caller's words. Where there are none the stream ends: whoever went on from there, or said that it
   * is over, would leave out a part that nobody misses.
   *
   * @returns whether there was anything to say
   */
  const say = (controller: Controller, { protocol, tally }: AnswerStream, events: Uint8Array | null): boolean => {
    seen = tally;
    if (events === null) return false;
    try {
      if (protocol !== "openai") voice.heard?.(events);
      const said = protocol === "openai" ? voice.say(events) : events;
      if (said === null) return false;
      controller.enqueue(said);
    } catch (cause) {
      fail(controller, problemOf(cause));
      return false;
    }
    waiting.forCaller(now());
    return true;
  };
  /** The next events for the caller: the head first, then what the host sends. Null when what came holds none. */
  const read = async ({ reader, stream }: Source): Promise<Uint8Array | null> => {
    if (head !== null) {
      const brought = head;
      head = null;
      return brought;
    }
    reading = reader.read();
    const part = await reading;
    // A caller who has left needs nothing more: `lastWords` counts it.
    if (over) return null;
    reading = null;
    if (part.done) {
      const ending = lost === null ? stream.finish() : null;
      if (ending === null) throw lost ?? new BrokenStream("the host ended the stream in the middle of the answer");
      return ending;
    }
    const { contentPieces } = stream.tally;
    const out = stream.push(part.value);
    if (stream.hasContent) firstContentAtMs ??= now();
    waiting.heard(stream.tally.contentPieces > contentPieces, now());
    return out;
  };
  /** One write at the least, or the end of it. */
  const next = async (controller: Controller): Promise<void> => {
    while (!over) {
      try {
        const from = source ?? begin(await opening);
        if (over) return;
        const out = await read(from);
        if (over) return;
        const isSaid = say(controller, from.stream, out);
        if (from.stream.broken !== null) throw from.stream.broken;
        if (from.stream.endedWell) return complete(controller);
        if (isSaid) return;
        waiting.forHost(now());
      } catch (cause) {
        await recover(controller, problemOf(lost ?? cause));
      }
    }
  };
  /** The answer may have been whole but for its last words; else another host carries it on; else it ends here. */
  const recover = async (controller: Controller, problem: Problem): Promise<void> => {
    const broken = source;
    if (over || broken === null) return fail(controller, problem);
    const owed = broken.stream.broken === null ? broken.stream.finish() : null;
    if (owed !== null) {
      say(controller, broken.stream, owed);
      return complete(controller);
    }
    source = null;
    lost = null;
    waiting.forHost(now());
    broken.reader.cancel().catch(() => undefined);
    const further = await carryOn(broken.stream);
    source = broken;
    if (over) return;
    if (further === null) return fail(controller, problem);
    begin(further.source);
    controller.enqueue(further.comment);
    waiting.anew(now());
  };
  const leave = async (): Promise<void> => {
    if (over) return;
    over = true;
    stopHeartbeat();
    // A host that has gone as well leaves what was counted.
    if (source !== null) await lastWords(source.reader, source.stream, reading).catch(() => undefined);
    hangUp();
    const tally = source?.stream.tally ?? seen;
    // Where only counts came, it is the count that has changed: what was made by then has been seen.
    const unseenTokens = tally.contentPieces === seen.contentPieces ? 0 : Math.max(0, tokensOf(tally) - tokensOf(seen));
    const isWhole = source?.stream.endedWell === true && tally.contentPieces === seen.contentPieces;
    end(isWhole ? { kind: "complete" } : { kind: "client_left", unseenTokens });
  };
  const beat = (controller: Controller): void => {
    if (over) return;
    const nowMs = now();
    if (waiting.isOverdue(nowMs)) {
      fail(controller, new Problem("total_timeout"));
    } else if (source !== null && lost === null && waiting.isNextTokenLate(nowMs)) {
      lost = new Problem("next_token_timeout");
      // Its read ends, and with it begins what follows on a host that is lost.
      source.reader.cancel().catch(() => undefined);
    } else if (waiting.isSilent(heartbeatMs / 2, nowMs) && (controller.desiredSize ?? -1) >= 0) {
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
        waiting.forHost(now());
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
