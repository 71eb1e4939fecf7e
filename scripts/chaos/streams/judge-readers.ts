/** What must hold of callers who read slowly. Pure. */
import { type Finding, fact, kibibytes, megabytes, must, mustOnTime } from "../finding.ts";
import type { Weight } from "../net-weight.ts";
import { quantile, sum } from "../statistics.ts";
import { LONG_BYTES, type Reading } from "./read-all.ts";

/** What the gateway may hold for a slow reader. */
const MOST_BYTES = 64 * 1_024;

/** @param bare what each of the same readers has added to bare workerd */
export function judgeReaders({ taken, read, open, each }: Reading, bare: Weight): Finding[] {
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
    // The gateway's own is what its isolate holds. What the process grows by is mostly the platform's.
    mustOnTime(
      "held for each, once garbage is collected: heap and buffers",
      `<= ${MOST_BYTES / 1_024} KiB`,
      kibibytes(each.heapBytes),
      each.heapBytes !== null && each.heapBytes <= MOST_BYTES,
    ),
    fact("  resident memory for each", kibibytes(each.residentBytes)),
    fact("  of bare workerd, for each of as many such readers", kibibytes(bare.residentBytes)),
  ];
}
