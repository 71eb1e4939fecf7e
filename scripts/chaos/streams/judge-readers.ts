/** What must hold of callers who read slowly. Pure. */
import { type Finding, fact, must, mustOnTime } from "../finding.ts";
import { quantile, sum } from "../statistics.ts";
import type { Taken } from "./firehose.ts";

/** More than the sockets between the processes hold: whoever reads this slowly must slow its host. */
export const LONG_BYTES = 200 * 1_024 * 1_024;
/** What a slow reader may cost the Worker. */
const MOST_BYTES = 64 * 1_024;

export type ReadersFacts = {
  /** Of each answer, by the gateway from its host. */
  readonly taken: readonly Taken[];
  /** By each caller. */
  readonly read: readonly number[];
  /** Connections of callers that still stand. */
  readonly open: number;
  readonly before: number | null;
  readonly after: number | null;
};

export function judgeReaders({ taken, read, open, before, after }: ReadersFacts): Finding[] {
  const each = before === null || after === null ? null : (after - before) / read.length;
  const long = taken.find(({ ofBytes }) => ofBytes === LONG_BYTES);
  const total = sum(taken.map(({ bytes }) => bytes));
  return [
    must("readers that are still served", `= ${read.length}`, open, open === read.length),
    fact("  read by each", `${Math.round((quantile(read, 0.5) ?? 0) / 1_024)} KiB`),
    fact("  taken from the host for each, most of it in sockets", megabytes(total / Math.max(1, taken.length))),
    must(
      "a very long answer slows its host: taken of it",
      `< ${megabytes(LONG_BYTES)}`,
      long === undefined ? "none" : megabytes(long.bytes),
      long !== undefined && long.bytes < LONG_BYTES,
    ),
    mustOnTime(
      "memory of each",
      `<= ${MOST_BYTES / 1_024} KiB`,
      each === null ? "not known here" : `${(each / 1_024).toFixed(1)} KiB`,
      each !== null && each <= MOST_BYTES,
    ),
  ];
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}
