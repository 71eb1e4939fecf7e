/**
 * An isolate's copy of what the Fleet object knows, at most 2 s old while requests flow; the question carries what the
 * isolate holds and has seen. A fleet that cannot be reached leaves the last copy in force; without one every host counts
 * as unseen and is tried.
 */
import type { FleetSnapshot } from "./fleet-words.ts";
import { type Report, TicketBook } from "./ticket-book.ts";

/** A copy is refreshed behind the request that finds it this old. */
const COPY_FOR_MS = 2_000;
/** One that is older than this is waited for: a purge of keys is heard everywhere within 5 s. */
const STALE_AFTER_MS = 4_000;
/** Waited for this long; then the old copy, or none, has to do. */
const WAITED_FOR_MS = 1_000;
/** How often a waiting request looks whether the question, which may be another one's, has been answered. */
const WATCH_EVERY_MS = 5;

export type SnapshotMemory = {
  snapshot: FleetSnapshot;
  askedAtMs: number;
  /** When the question was asked that the snapshot answers. */
  answeredAtMs: number;
  /** The question under way is one that is waited for. */
  awaited: boolean;
  readonly book: TicketBook;
  /** Until when the Fleet object is taken for lost, ms since the epoch. */
  readonly lost: { untilMs: number };
};

export const newSnapshotMemory = (): SnapshotMemory => ({
  snapshot: { view: { hosts: {}, pairs: {} }, spare: {}, awaited: [], nextProbeAtMs: 0, keysEpoch: 0 },
  askedAtMs: Number.NEGATIVE_INFINITY,
  answeredAtMs: Number.NEGATIVE_INFINITY,
  awaited: false,
  // Chance, and not the clock: isolates may begin in the same millisecond. Called within a request, as the platform wants.
  book: new TicketBook(crypto.randomUUID()),
  lost: { untilMs: 0 },
});

export type AskFleet = (report: Report) => Promise<FleetSnapshot>;

/**
 * The snapshot for one request.
 *
 * @param ask calls the Fleet object
 * @param defer runs work after the response (`waitUntil`)
 */
export async function currentSnapshot(
  memory: SnapshotMemory,
  ask: AskFleet,
  nowMs: number,
  defer: (work: Promise<void>) => void,
): Promise<FleetSnapshot> {
  // A clock that was set back must not keep a copy for as long.
  const ageMs = Math.abs(nowMs - memory.askedAtMs);
  if (ageMs >= COPY_FOR_MS) {
    memory.awaited = ageMs >= STALE_AFTER_MS;
    defer(refresh(memory, ask, nowMs));
  }
  // Also where another request asked: of two that come together, the second would go by what is long over.
  for (let waitedMs = 0; memory.awaited && waitedMs < WAITED_FOR_MS; waitedMs += WATCH_EVERY_MS)
    await scheduler.wait(WATCH_EVERY_MS);
  memory.awaited = false;
  return memory.snapshot;
}

/** Reports, and takes the answer for the copy. Never rejects. */
export async function refresh(memory: SnapshotMemory, ask: AskFleet, nowMs: number): Promise<void> {
  memory.askedAtMs = nowMs;
  const report = memory.book.report(nowMs, (host) => !memory.snapshot.awaited.includes(host));
  try {
    const snapshot = await ask(report);
    memory.book.reported(report, snapshot.spare, nowMs);
    // One that was long on its way may come after a later one.
    if (nowMs < memory.answeredAtMs && memory.askedAtMs !== nowMs) return;
    memory.snapshot = snapshot;
    memory.answeredAtMs = nowMs;
    memory.lost.untilMs = 0;
  } catch (cause) {
    memory.book.unheard(report);
    console.error(JSON.stringify({ at: "fleet.snapshot", cause: String(cause) }));
  } finally {
    if (memory.askedAtMs === nowMs) memory.awaited = false;
  }
}
