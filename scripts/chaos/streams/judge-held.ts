/** What must hold of very many streams at the same time. Pure. */
import { type Finding, fact, must, mustOnTime, percent } from "../finding.ts";
import { growth, medianOf, type Weighing } from "../memory.ts";
import type { Held } from "./held-stream.ts";

/** What a stream may cost the Worker. */
const MOST_BYTES = 250_000;
/** Heaps breathe; what leaks grows with every event. */
const MOST_GROWTH = 0.1;

export type HeldFacts = {
  readonly streams: number;
  readonly answers: readonly Held[];
  readonly expected: string;
  readonly tokens: number;
  /** Of the Worker's runtime before the first stream; null where the system does not tell. */
  readonly before: number | null;
  /** While all streams flow. */
  readonly plateau: readonly Weighing[];
  readonly late: number;
};

export function judgeHeld({ streams, answers, expected, tokens, before, plateau, late }: HeldFacts): Finding[] {
  const broken = answers.filter(({ isWhole }) => !isWhole).length;
  const lost = answers.reduce((sum, { events }) => sum + Math.abs(tokens - events), 0);
  const different = answers.filter(({ text }) => text !== expected).length;
  const after = medianOf(plateau);
  const each = before === null || after === null ? null : (after - before) / streams;
  const grown = growth(plateau);
  return [
    fact(`${streams} streams: events`, streams * tokens),
    must("  streams that did not come to their end", "0", broken, broken === 0),
    must("  events lost or doubled", "0", lost, lost === 0),
    must("  texts that differ", "0", different, different === 0),
    mustOnTime(
      "  memory of each",
      `<= ${MOST_BYTES / 1_000} kB`,
      each === null ? "not known here" : `${(each / 1_000).toFixed(1)} kB`,
      each !== null && each <= MOST_BYTES,
    ),
    mustOnTime(
      "  growth while they flow",
      `<= ${percent(MOST_GROWTH)}`,
      percent(grown),
      grown !== null && grown <= MOST_GROWTH,
    ),
    fact("  how late this machine ran us, p99", `${late.toFixed(0)} ms`),
  ];
}
