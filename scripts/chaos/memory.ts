/**
 * What the Worker's runtime occupies: its resident memory, once a second. `wrangler dev` runs two workerd processes: the
 * Worker's, which has an inspector, and a front that keeps some 60 kB of every request also before a Worker that does
 * nothing (measured with 4.156.2: 86 MB, and 391 MB 5,000 requests later). The front is not weighed: nobody deploys it.
 * Where workerd runs as deployed it is one process, to be started with an inspector as well.
 */
import { readFileSync } from "node:fs";
import { membersOf } from "#scripts/stack/process-table.ts";
import { quantile } from "./statistics.ts";

const EVERY_MS = 1_000;

export type Weighing = { readonly atMs: number; readonly bytes: number };

/** Weighs until it is stopped. @returns the weighings so far, which grow; and what stops it */
export function weigh(group: number): { readonly weighings: readonly Weighing[]; readonly stop: () => void } {
  const weighings: Weighing[] = [];
  const timer = setInterval(() => {
    const bytes = residentBytes(group);
    if (bytes !== null) weighings.push({ atMs: Date.now(), bytes });
  }, EVERY_MS);
  return { weighings, stop: () => clearInterval(timer) };
}

/** Null where the system does not tell: only Linux does. */
export function residentBytes(group: number): number | null {
  let kib = 0;
  for (const pid of membersOf(group)) {
    try {
      const isWorkers = readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--inspector-addr");
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      if (isWorkers && /^Name:\s+workerd$/m.test(status)) kib += Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
    } catch {
      // It has ended since, or this is no Linux.
    }
  }
  return kib === 0 ? null : kib * 1_024;
}

/** How much of the time is warm-up: heaps grow to their working size first. */
const WARM_UP = 0.4;
/** What is compared: the medians of the first and the last of the time after that, since a heap breathes. */
const COMPARED = 0.2;

/** How much heavier it is at the end than after warm-up: 0.05 is 5 %. Null without weighings. Pure. */
export function growth(weighings: readonly Weighing[]): number | null {
  const size = Math.floor(weighings.length * COMPARED);
  const from = Math.floor(weighings.length * WARM_UP);
  const before = medianOf(weighings.slice(from, from + size));
  const after = medianOf(weighings.slice(weighings.length - size));
  return before === null || after === null ? null : after / before - 1;
}

/** In bytes; null without weighings. Pure. */
export function medianOf(weighings: readonly Weighing[]): number | null {
  return quantile(
    weighings.map(({ bytes }) => bytes),
    0.5,
  );
}
