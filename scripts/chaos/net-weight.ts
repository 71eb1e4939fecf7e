/**
 * What a runtime holds once its garbage is collected. Without that its memory says how much has passed and how lazy V8
 * is: a workerd through which 10 MB answers go has grown by hundreds of megabytes that nobody holds.
 */
import { collected } from "./inspector.ts";
import { residentBytes } from "./memory.ts";

export type Runtime = {
  /** Something that it answers, cheaply. */
  readonly health: string;
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
export async function netWeight({ health, group, isolate }: Runtime): Promise<Weight> {
  const nudge = async (): Promise<void> => {
    await (await fetch(health)).body?.cancel();
  };
  const heapBytes = isolate === null ? null : await collected(isolate, nudge);
  return { heapBytes, residentBytes: residentBytes(group) };
}

/** How much one of so many has added to it. Pure. */
export function each(before: Weight, after: Weight, count: number): Weight {
  const part = (from: number | null, to: number | null): number | null =>
    from === null || to === null ? null : (to - from) / count;
  return {
    heapBytes: part(before.heapBytes, after.heapBytes),
    residentBytes: part(before.residentBytes, after.residentBytes),
  };
}
