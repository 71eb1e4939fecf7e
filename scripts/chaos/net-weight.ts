/**
 * What a runtime holds once its garbage is collected. Without that its memory says how much has passed and how lazy V8
 * is: a workerd through which 10 MB answers go has grown by hundreds of megabytes that nobody holds.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { collected } from "./inspector.ts";
import { residentBytes } from "./memory.ts";

export type Runtime = {
  readonly group: number;
  /** Address of its isolate at its inspector; null where it has none that answers. */
  readonly isolate: string | null;
};

export type Weight = {
  /** JS heap and memory of buffers; null where V8 cannot be asked. */
  readonly heapBytes: number | null;
  /** What the machine pays: also what the platform keeps of each connection, and what is free but not given back. */
  readonly residentBytes: number | null;
};

/** @throws Error when its inspector does not answer */
export async function netWeight({ group, isolate }: Runtime): Promise<Weight> {
  const heapBytes = isolate === null ? null : await collected(isolate);
  return { heapBytes, residentBytes: residentBytes(group) };
}

export type NetWeighing = Weight & { readonly atMs: number };

/**
 * Weighs every few seconds until it is stopped. What V8 has not collected for longer stays resident for good: workerd's
 * allocator gives nothing back (measured with 400 streams: 5 MB in 20 s, and 56 MB in 34 s where nothing is collected).
 *
 * @returns `stop` yields all weighings. It rejects with what a weighing has thrown
 */
export function weighEvery(ms: number, runtime: Runtime): { readonly stop: () => Promise<readonly NetWeighing[]> } {
  const weighings: NetWeighing[] = [];
  const stopped = new AbortController();
  const weighing = (async () => {
    while (!stopped.signal.aborted) {
      weighings.push({ ...(await netWeight(runtime)), atMs: Date.now() });
      await sleep(ms, undefined, { signal: stopped.signal }).catch(() => undefined);
    }
  })();
  // Told by `stop`.
  weighing.catch(() => undefined);
  return {
    stop: async () => {
      stopped.abort();
      await weighing;
      return weighings;
    },
  };
}

/** The last weighing of a time, in ms since the epoch; nothing is known where there is none. Pure. */
export function lastWithin(weighings: readonly NetWeighing[], sinceMs: number, untilMs: number): Weight {
  return weighings.findLast(({ atMs }) => atMs >= sinceMs && atMs < untilMs) ?? UNKNOWN;
}

const UNKNOWN: Weight = { heapBytes: null, residentBytes: null };

/** How much one of so many has added to it. Pure. */
export function each(before: Weight, after: Weight, count: number): Weight {
  const part = (from: number | null, to: number | null): number | null =>
    from === null || to === null ? null : (to - from) / count;
  return {
    heapBytes: part(before.heapBytes, after.heapBytes),
    residentBytes: part(before.residentBytes, after.residentBytes),
  };
}
