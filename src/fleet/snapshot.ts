/**
 * An isolate's copy of what the Fleet object knows, at most 2 s old while requests flow. A fleet that cannot be reached
 * leaves the last copy in force; without one every host counts as unknown and is tried.
 */
import type { FleetSnapshot } from "./fleet.do.ts";

const COPY_FOR_MS = 2_000;
/** A cold isolate waits this long for its first copy and then goes without. */
const FIRST_COPY_WITHIN_MS = 1_000;

export type SnapshotMemory = { snapshot: FleetSnapshot; askedAtMs: number };

export const newSnapshotMemory = (): SnapshotMemory => ({
  snapshot: { states: {}, nextProbeAtMs: 0 },
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
  const cold = memory.askedAtMs === Number.NEGATIVE_INFINITY;
  memory.askedAtMs = nowMs;
  const refreshed = refresh(memory, ask);
  if (cold) await Promise.race([refreshed, scheduler.wait(FIRST_COPY_WITHIN_MS)]);
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
