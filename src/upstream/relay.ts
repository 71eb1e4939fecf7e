/**
 * The one stream stage: a host's answer on its way to the caller.
 *
 * A pull-based JS stream without a buffer of its own (measured: the cheapest shape with all six properties): the first
 * chunk passes before the second arrives; a caller who leaves is noticed at the next write, and heartbeats make sure
 * that there is one; a host that dies anywhere is followed by another that carries on, or by one parsable error event; a
 * slow reader slows the host. Whole events only, so that a heartbeat or an error never lands inside one.
 *
 * Here is the caller's side of it; whose words they are is `Telling`'s.
 */
import { Problem } from "#src/problem.ts";
import { EventTooLarge } from "#src/sse.ts";
import { type AnswerStream, BrokenStream } from "./answer-stream.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { NOTHING_YET, tokensOf } from "./tally.ts";
import { type CarryOn, type Source, Telling } from "./telling.ts";
import type { Voice } from "./voice.ts";
import { type Deadlines, Waiting } from "./waiting.ts";

const PING = new TextEncoder().encode(": ping\n\n");

export type RelayEnd =
  | { readonly kind: "complete" }
  | {
      readonly kind: "client_left";
      /** Tokens that the host made and the caller was not there for. */
      readonly unseenTokens: number;
    }
  | { readonly kind: "upstream_error"; readonly problem: Problem };

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
  const telling = new Telling(opening, carryOn, waiting, now);
  let stopHeartbeat = (): void => undefined;
  /** What the answer had cost when its last events were taken for the caller. */
  let seen = NOTHING_YET;

  const end = (how: RelayEnd): void => {
    telling.end();
    stopHeartbeat();
    resolve(how);
  };
  const complete = (controller: Controller): void => {
    if (telling.isOver) return;
    end({ kind: "complete" });
    controller.close();
    telling.close(hangUp);
  };
  const fail = (controller: Controller, problem: Problem): void => {
    if (telling.isOver) return;
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
  /** One write at the least, or the end of it. */
  const next = async (controller: Controller): Promise<void> => {
    while (!telling.isOver) {
      try {
        const out = await telling.read();
        const { stream } = telling;
        if (telling.isOver || stream === null) return;
        const isSaid = say(controller, stream, out);
        if (stream.broken !== null) throw stream.broken;
        if (stream.endedWell) return complete(controller);
        if (isSaid) return;
        waiting.forHost(now());
      } catch (cause) {
        await recover(controller, problemOf(telling.lost ?? cause));
      }
    }
  };
  /** The answer may have been whole but for its last words; else another host carries it on; else it ends here. */
  const recover = async (controller: Controller, problem: Problem): Promise<void> => {
    const { stream } = telling;
    if (telling.isOver || stream === null) return fail(controller, problem);
    const owed = telling.owed();
    if (owed !== null) {
      say(controller, stream, owed);
      return complete(controller);
    }
    const comment = await telling.goOn();
    if (comment === null) return fail(controller, problem);
    controller.enqueue(comment);
  };
  const leave = async (): Promise<void> => {
    if (telling.isOver) return;
    stopHeartbeat();
    await telling.leave();
    hangUp();
    const tally = telling.stream?.tally ?? seen;
    // Where only counts came, it is the count that has changed: what was made by then has been seen.
    const unseenTokens = tally.contentPieces === seen.contentPieces ? 0 : Math.max(0, tokensOf(tally) - tokensOf(seen));
    const isWhole = telling.stream?.endedWell === true && tally.contentPieces === seen.contentPieces;
    end(isWhole ? { kind: "complete" } : { kind: "client_left", unseenTokens });
  };
  const beat = (controller: Controller): void => {
    if (telling.isOver) return;
    const nowMs = now();
    if (waiting.totalLeftMs(nowMs) < 0) {
      fail(controller, new Problem("total_timeout"));
    } else if (telling.silenceLeftMs(nowMs) < 0) {
      telling.giveUp(new Problem("next_token_timeout"));
    } else if (waiting.isSilent(heartbeatMs / 2, nowMs) && (controller.desiredSize ?? -1) >= 0) {
      // Nothing piles up for a caller who does not read: one heartbeat waits at most. That it was written does not
      // count as a sign of life of the host's, so the next beat writes again.
      controller.enqueue(PING);
    }
  };
  const leftMs = (): number => Math.min(waiting.totalLeftMs(now()), telling.silenceLeftMs(now()));

  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        // Twice a beat: a stream that falls silent just after one look is seen by the next, within one beat.
        const shortest = Math.min(heartbeatMs / 2, deadlines.betweenTokensMs, deadlines.totalMs);
        stopHeartbeat = startHeartbeat(shortest, () => beat(controller), leftMs);
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
  return { body, ended, firstContentAtMs: () => telling.firstContentAtMs, leave };
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

function problemOf(cause: unknown): Problem {
  if (cause instanceof Problem) return cause;
  const known = cause instanceof BrokenStream || cause instanceof EventTooLarge;
  const message = known ? `The host failed in the middle of the answer: ${cause.message}.` : undefined;
  return new Problem("upstream_error", { cause, ...(message === undefined ? {} : { message }) });
}
