/**
 * How long callers waited where one host's part ends and another's begins. Pure.
 *
 * The goal names the twin's time to its first token. It is taken from the run's own undisturbed streams of the same hosts,
 * as the same clients saw them, like from like: the middle beside the middle, the slowest beside the slowest. What the
 * hosts are set to is told as well: a busy machine keeps neither a host nor a gap to it. A twin that something struck as
 * well, one that says a byte a millisecond, say, has no such first token, and is told of apart.
 */
import { type Finding, fact, milliseconds, mustOnTime, percent } from "../finding.ts";
import { quantile } from "../statistics.ts";
import { firstTokenMs, seamGapMs } from "./verdict.ts";
import type { Witnessed } from "./witness.ts";

/** A gap is at most so many of the twin's times to its first token. */
const MOST_GAP = 1.5;
/** Of a host that is silent nobody knows that it is lost before its deadline. */
const STALLS = "hang-after";

export type Gaps = {
  /** Streams whose host died once, each with the kinds of faults that struck it, and went on elsewhere. */
  readonly seams: readonly { readonly one: Witnessed; readonly kinds: readonly string[] }[];
  /** Streams of the same hosts that nothing struck. */
  readonly undisturbed: readonly Witnessed[];
  /** What the hosts are set to. */
  readonly ttftMs: number;
  /** How long a host may be silent between tokens. */
  readonly betweenTokensMs: number;
};

export function judgeGaps({ seams, undisturbed, ttftMs, betweenTokensMs }: Gaps): Finding[] {
  const gaps = seams.flatMap(({ one, kinds }) => {
    const ms = seamGapMs(one);
    const unknowableMs = kinds.includes(STALLS) ? betweenTokensMs : 0;
    return ms === null ? [] : [{ kind: kinds.join("+"), faults: kinds.length, ms: ms - unknowableMs }];
  });
  const [ofOne, ofMore] = [gaps.filter(({ faults }) => faults === 1), gaps.filter(({ faults }) => faults > 1)];
  const gapsMs = ofOne.map(({ ms }) => ms);
  const firstsMs = undisturbed.map(firstTokenMs).filter((ms) => ms !== null);
  const inTime = (name: string, part: number): Finding => {
    const [gap, first] = [quantile(gapsMs, part), quantile(firstsMs, part)];
    const goal = `<= ${MOST_GAP} x ${milliseconds(first)}`;
    const holds = gap !== null && first !== null && gap <= MOST_GAP * first;
    return mustOnTime(`gap at the seam, ${name}, beside such a first token`, goal, milliseconds(gap), holds);
  };
  const shareWithin = (firstMs: number): string =>
    percent(gapsMs.filter((ms) => ms <= MOST_GAP * firstMs).length / gapsMs.length);
  const middleMs = quantile(firstsMs, 0.5) ?? 0;
  return [
    fact("first token of undisturbed streams, p50 and p99", figures(firstsMs)),
    fact("gap at the seam, from when the host can be known to be lost", figures(gapsMs)),
    inTime("p50", 0.5),
    inTime("p99", 0.99),
    fact(`  within ${MOST_GAP} x the middle first token`, shareWithin(middleMs)),
    fact(`  within ${MOST_GAP} x the ${ttftMs} ms that hosts are set to`, shareWithin(ttftMs)),
    fact("  p50 and longest by kind", byKind(ofOne)),
    fact("  where the twin was struck as well", byKind(ofMore)),
  ];
}

function figures(values: readonly number[]): string {
  const [p50, p99] = [quantile(values, 0.5), quantile(values, 0.99)];
  return `${milliseconds(p50)}, ${milliseconds(p99)} of ${values.length}`;
}

function byKind(gaps: readonly { readonly kind: string; readonly ms: number }[]): string {
  const kinds = [...Map.groupBy(gaps, ({ kind }) => kind)].map(([kind, those]) => {
    const values = those.map(({ ms }) => ms);
    return { kind, p50: quantile(values, 0.5), longest: Math.max(...values), count: values.length };
  });
  const told = kinds
    .sort((a, b) => b.longest - a.longest)
    .map(({ kind, p50, longest, count }) => `${kind} ${milliseconds(p50)} ${milliseconds(longest)} of ${count}`);
  return told.join(", ") || "none";
}
