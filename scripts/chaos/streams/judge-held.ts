/** What must hold of very many streams at the same time. Pure. */
import { type Finding, fact, megabytes, must, mustOnTime, percent } from "../finding.ts";
import { each, type Weight } from "../net-weight.ts";
import type { Held } from "./held-stream.ts";

/** What a stream may cost the Worker. */
const MOST_BYTES = 250_000;
/**
 * So much more may a stream hold late than early: a tenth of what it may cost. What leaks grows with every event; the text
 * that another host would go on from grows as well, up to its bound. It is judged by what V8 holds: what is resident also
 * grows by what the allocator has been given back and keeps.
 */
const MOST_MORE_BYTES = 0.1 * MOST_BYTES;

export type HeldFacts = {
  readonly streams: number;
  /** Streams through which as much passed before. */
  readonly fewer: number;
  readonly answers: readonly Held[];
  readonly expected: string;
  readonly tokens: number;
  /** Of the Worker's runtime: with the fewer streams; with all, soon after the last has begun and before the first ends; with none. */
  readonly weights: Readonly<Record<"before" | "early" | "late" | "after", Weight>>;
  /** How late this machine ran us, p99. */
  readonly lateMs: number;
};

export function judgeHeld({ streams, fewer, answers, expected, tokens, weights, lateMs }: HeldFacts): Finding[] {
  const broken = answers.filter(({ isWhole }) => !isWhole).length;
  const lost = answers.reduce((sum, { events }) => sum + Math.abs(tokens - events), 0);
  const different = answers.filter(({ text }) => text !== expected).length;
  const { before, early, late, after } = weights;
  const [first, last] = [each(before, early, streams - fewer), each(before, late, streams - fewer)];
  const left = each(before, after, 1).residentBytes;
  const most = larger(first.residentBytes, last.residentBytes);
  const more = first.heapBytes === null || last.heapBytes === null ? null : last.heapBytes - first.heapBytes;
  return [
    fact(`${streams} streams: events`, streams * tokens),
    must("  streams that did not come to their end", "0", broken, broken === 0),
    must("  events lost or doubled", "0", lost, lost === 0),
    must("  texts that differ", "0", different, different === 0),
    mustOnTime(
      "  resident memory for each more, garbage being collected",
      `<= ${MOST_BYTES / 1_000} kB`,
      kilobytes(most),
      most !== null && most <= MOST_BYTES,
    ),
    fact("  of it heap and buffers", kilobytes(larger(first.heapBytes, last.heapBytes))),
    mustOnTime(
      "  growth of heap and buffers while they flow, for each",
      `<= ${MOST_MORE_BYTES / 1_000} kB`,
      kilobytes(more),
      more !== null && more <= MOST_MORE_BYTES,
    ),
    fact("  growth of resident memory", percent(growth(first.residentBytes, last.residentBytes))),
    fact(
      "  resident memory beyond the first weighing, once they are gone",
      left === null ? "not known here" : megabytes(left),
    ),
    fact("  how late this machine ran us, p99", `${lateMs.toFixed(0)} ms`),
  ];
}

function larger(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : Math.max(one, other);
}

function growth(from: number | null, to: number | null): number | null {
  return from === null || to === null ? null : to / from - 1;
}

function kilobytes(bytes: number | null): string {
  return bytes === null ? "not known here" : `${(bytes / 1_000).toFixed(1)} kB`;
}
