/**
 * An isolate's copy of what the Fleet object knows, at most 2 s old while requests flow. A fleet that cannot be reached
 * leaves the last copy in force; without one every host counts as unknown and is tried.
 */
import type { FleetSnapshot } from "./fleet.do.ts";

/** A copy is refreshed behind the request that finds it this old. */
const COPY_FOR_MS = 2_000;
/** One that is older than this is waited for: a purge of keys is heard everywhere within 5 s. */
const STALE_AFTER_MS = 4_000;
/** Waited for this long; then the old copy, or none, has to do. */
const WAITED_FOR_MS = 1_000;

export type SnapshotMemory = { snapshot: FleetSnapshot; askedAtMs: number };

export const newSnapshotMemory = (): SnapshotMemory => ({
  snapshot: { states: {}, nextProbeAtMs: 0, keysEpoch: 0 },
  askedAtMs: Number.NEGATIVE_INFINITY,
});

/**
 * The snapshot for one request.
 *
 * @param ask calls the Fleet object
 * @param defer runs work after the response (`waitUntil`)
 */
export async function currentSnapshot(
  memory: SnapshotMemory,
  ask: () => Promise<FleetSnapshot>,
  nowMs: number,
  defer: (work: Promise<void>) => void,
): Promise<FleetSnapshot> {
  if (nowMs - memory.askedAtMs < COPY_FOR_MS) return memory.snapshot;
  const stale = nowMs - memory.askedAtMs >= STALE_AFTER_MS;
  memory.askedAtMs = nowMs;
  const refreshed = refresh(memory, ask);
  if (stale) await Promise.race([refreshed, scheduler.wait(WAITED_FOR_MS)]);
  defer(refreshed);
  return memory.snapshot;
}

async function refresh(memory: SnapshotMemory, ask: () => Promise<FleetSnapshot>): Promise<void> {
  try {
    memory.snapshot = await ask();
  } catch (cause) {
    console.error(JSON.stringify({ at: "fleet.snapshot", cause: String(cause) }));
  }
}
