/** One question to two hosts, the second somewhat later: the first answer wins, and the other host is hung up on. */
import { before } from "#src/within.ts";
import type { Attempt } from "./attempt.ts";

type Answered<C, T> = Extract<Attempt<C, T>, { kind: "answered" }>;

export type Hedge<C, T> = {
  /** Asks; the signal ends it. The second must not be put to a host that the first has been put to. */
  readonly ask: (signal: AbortSignal, isSecond: boolean) => Promise<Attempt<C, T>>;
  /** After so long the second is asked, if it may be. */
  readonly afterMs: number;
  readonly mayAsk: () => boolean;
  /** An answer that nobody waits for any more. */
  readonly discard: (late: Answered<C, T>) => void;
  /** Aborted when the caller has left. */
  readonly left: AbortSignal;
};

/**
 * The first of two answers.
 *
 * @returns never rejects; where neither host answers, what became of the first
 */
export async function hedged<C, T>({
  ask,
  afterMs,
  mayAsk,
  discard,
  left,
}: Hedge<C, T>): Promise<{
  readonly result: Attempt<C, T>;
  readonly isHedged: boolean;
}> {
  const start = (isSecond: boolean) => {
    const exchange = new AbortController();
    const asked = ask(AbortSignal.any([left, exchange.signal]), isSecond);
    const answered = asked.then((result) =>
      result.kind === "answered" ? { result, exchange } : Promise.reject(result),
    );
    return { exchange, asked, answered };
  };
  const first = start(false);
  // Looked at by someone also where nobody asks for the first answer of two.
  first.answered.catch(() => undefined);
  const early = await before(afterMs, first.asked);
  if (early !== null || left.aborted || !mayAsk()) return { result: early ?? (await first.asked), isHedged: false };
  const second = start(true);
  try {
    const { result, exchange } = await Promise.any([first.answered, second.answered]);
    const loser = exchange === first.exchange ? second : first;
    loser.exchange.abort();
    loser.answered.then(
      ({ result: late }) => discard(late),
      () => undefined,
    );
    return { result: { ...result, attempts: result.attempts + 1 }, isHedged: true };
  } catch {
    const [result, other] = [await first.asked, await second.asked];
    return { result: { ...result, attempts: result.attempts + other.attempts }, isHedged: true };
  }
}
