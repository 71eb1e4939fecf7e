/**
 * A stream whose host is lost, carried on: the slot of the lost one goes back as a failure, and the model's other hosts
 * are asked, one after the other, to go on from what the caller has.
 */
import type { AnswerStream } from "#src/upstream/answer-stream.ts";
import {
  type Cut,
  continued,
  ending,
  heldCharacters,
  isAtBound,
  isGreedy,
  MOST_KEPT_CHARACTERS,
  mayContinue,
} from "#src/upstream/continuation.ts";
import { ContinuedStream } from "#src/upstream/continued-stream.ts";
import { type Dialect, dialectOf } from "#src/upstream/dialect.ts";
import { openStream } from "#src/upstream/exchange.ts";
import { tokensOf } from "#src/upstream/tally.ts";
import type { CarryOn, Source } from "#src/upstream/telling.ts";
import { type Asking, askHosts, release, workedUnseen } from "./ask-hosts.ts";
import type { Seat } from "./choose-host.ts";
import { keepingText } from "./content.ts";

/** An answer that so many hosts died of is likelier their death than their victim: the others are spared it. */
const MOST_PARTS = 5;

/** A streamed answer in the making. */
export type Making = {
  /** Hosts that were asked: never again for this answer. */
  readonly tried: Seat[];
  /** Those that made a part of it, in order: the last makes it now. */
  readonly seats: Seat[];
  /** The last one's; null while there is none. */
  stream: AnswerStream | null;
  attempts: number;
  /** Made by hosts and no part of what the caller has; null where one was cut off before it said what it had made. */
  wastedTokens: number | null;
  /** Settles when no host is being asked to go on; never rejects. */
  asking: Promise<unknown>;
};

/**
 * How a broken stream of this answer is carried on.
 *
 * @param left aborted when the caller has left
 */
export function carryOnOf(asking: Asking, making: Making, left: AbortSignal): CarryOn {
  const { question, model, call } = asking;
  return async (broken) => {
    const from = making.seats.at(-1);
    const seam = broken.seam();
    if (from === undefined || seam === null || !mayContinue(question, model)) return null;
    release(asking, from, "upstream_error", broken.part, null);
    if (isAtBound(question, seam, from.host)) {
      const source = ending(question, seam);
      making.stream = source.stream;
      return { source, comment: commentOf("its bound was reached") };
    }
    if (making.seats.length >= MOST_PARTS) return null;
    const goingOn = ({ host, served }: Seat, cut: Cut): Dialect => {
      const { question: rest, owed, delivered } = continued(question, seam, from.host, host, cut);
      const dialect = dialectOf(host, model, served, rest, call.requestId, call.arrivedAtMs);
      const stream = () => new ContinuedStream(dialect.stream(), seam, delivered, owed, question.wantsUsage);
      return keepingText(
        { ...dialect, stream },
        {
          isStored: model.storeContent,
          forSeam: MOST_KEPT_CHARACTERS,
          heldCharacters: heldCharacters(question, host),
        },
      );
    };
    const goingOnOtherwise = (seat: Seat, { part }: AnswerStream): Dialect => {
      waste(making, tokensOf(part));
      return goingOn(seat, "anywhere");
    };
    const further = askHosts<Source>(asking, {
      exchange: openStream,
      dialect: (seat) =>
        isGreedy(question)
          ? { ...goingOn(seat, "at a token"), otherwise: (inVain) => goingOnOtherwise(seat, inVain) }
          : goingOn(seat, "anywhere"),
      tried: making.tried,
      kind: "next part",
      left,
    });
    making.asking = further;
    const asked = await further;
    making.attempts += asked.attempts;
    if (asked.kind !== "answered") {
      if (workedUnseen(asked)) making.wastedTokens = null;
      return null;
    }
    const { by, answer: source } = asked;
    const { tally, part } = source.stream;
    if (left.aborted) {
      // It began just when nobody waited for it any more.
      release(asking, by, "client_left", part, null);
      waste(making, tokensOf(part));
      return null;
    }
    waste(making, tokensOf(seam.tally) - (tokensOf(tally) - tokensOf(part)));
    making.seats.push(by);
    making.stream = source.stream;
    call.log.host = by.host.id;
    return { source, comment: commentOf(`continued by ${by.host.id}`) };
  };
}

function waste(making: Making, tokens: number): void {
  if (making.wastedTokens !== null) making.wastedTokens += Math.max(0, tokens);
}

/** Seen by whoever looks at the wire, and by no client. Names of hosts hold no line breaks. */
function commentOf(text: string): Uint8Array {
  return new TextEncoder().encode(`: ${text}\n\n`);
}
