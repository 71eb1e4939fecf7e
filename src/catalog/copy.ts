/**
 * An isolate's copy of the catalog, never older than 10 s. An invalid document never replaces a good one: what was
 * wrong with it is kept for the operator.
 */
import { type CatalogReading, isGood, type Lacking, readCatalog, readLastGood } from "./load.ts";
import type { CatalogProblem } from "./schema.ts";

/** A copy is read again behind the request that finds it this old. */
const COPY_FOR_MS = 5_000;
/** One that is older than this, because no request came by, is waited for. */
const STALE_AFTER_MS = 10_000;
/** Waited for this long; then the old copy has to do. */
const WAITED_FOR_MS = 1_000;
/** How often a waiting request looks whether the reading, which may be another one's, is there. */
const WATCH_EVERY_MS = 5;

/** A document that was not taken while another is in force, for the operator's eyes. */
export type RefusedCatalog = {
  readonly problems: readonly CatalogProblem[];
  readonly document: string | null;
  /** When it was first read here, ms since the epoch. */
  readonly atMs: number;
};

/** An isolate's copy. Values only: see the platform's rule on promises across requests. */
export type CatalogMemory = {
  reading: CatalogReading | null;
  /** When KV was asked last, and when the question was asked that `reading` answers. */
  askedAtMs: number;
  answeredAtMs: number;
  /** The question under way is one that is waited for. */
  awaited: boolean;
  /** Until KV holds a good document again. */
  lastRefused: RefusedCatalog | null;
};

export const newCatalogMemory = (): CatalogMemory => ({
  reading: null,
  askedAtMs: Number.NEGATIVE_INFINITY,
  answeredAtMs: Number.NEGATIVE_INFINITY,
  awaited: false,
  lastRefused: null,
});

/**
 * The catalog for one request: the isolate's copy, refreshed behind requests while they come; the first one after a
 * pause waits for it.
 *
 * @param defer runs work after the response (`waitUntil`)
 * @param lacking what the Worker lacks for a catalog: one that it cannot serve is refused like one that is wrong
 */
export async function currentCatalog(
  memory: CatalogMemory,
  kv: Pick<KVNamespace, "get">,
  nowMs: number,
  defer: (work: Promise<void>) => void,
  lacking: Lacking = () => [],
): Promise<CatalogReading> {
  if (memory.reading === null) {
    memory.askedAtMs = nowMs;
    const reading = await readCatalog(kv, null, lacking);
    const lastGood = reading.refused.length === 0 ? null : await readLastGood(kv);
    if (lastGood !== null) adopt(memory, lastGood, nowMs);
    adopt(memory, reading, nowMs);
    return memory.reading ?? reading;
  }
  // A clock that was set back must not keep a copy for as long.
  const ageMs = Math.abs(nowMs - memory.askedAtMs);
  if (ageMs >= COPY_FOR_MS) {
    memory.awaited = ageMs >= STALE_AFTER_MS;
    memory.askedAtMs = nowMs;
    defer(refresh(memory, kv, nowMs, lacking));
  }
  // Also where another request asked: of two that come together, the second would go by what is long over.
  for (let waitedMs = 0; memory.awaited && waitedMs < WAITED_FOR_MS; waitedMs += WATCH_EVERY_MS)
    await scheduler.wait(WATCH_EVERY_MS);
  memory.awaited = false;
  return memory.reading;
}

async function refresh(
  memory: CatalogMemory,
  kv: Pick<KVNamespace, "get">,
  nowMs: number,
  lacking: Lacking,
): Promise<void> {
  adopt(memory, await readCatalog(kv, memory.reading, lacking), nowMs);
  if (memory.askedAtMs === nowMs) memory.awaited = false;
}

/** The last good one stays in force while KV is down, or holds a document that is none. */
function adopt(memory: CatalogMemory, reading: CatalogReading, nowMs: number): void {
  // One that was long on its way may come after a later one.
  if (nowMs < memory.answeredAtMs && memory.askedAtMs !== nowMs) return;
  if (reading.reached) {
    memory.answeredAtMs = nowMs;
    memory.lastRefused = isGood(reading) ? null : refusal(memory, reading, nowMs);
  }
  const isBetter = reading.reached && (isGood(reading) || (memory.reading !== null && !isGood(memory.reading)));
  if (memory.reading === null || isBetter) memory.reading = reading;
}

/** Said in the log once for each document. */
function refusal(
  { lastRefused }: CatalogMemory,
  { document, refused: problems }: CatalogReading,
  atMs: number,
): RefusedCatalog {
  if (lastRefused !== null && lastRefused.document === document) return lastRefused;
  console.error(JSON.stringify({ at: "catalog.refused", problems }));
  return { problems, document, atMs };
}
