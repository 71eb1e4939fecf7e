/**
 * The catalog in force: KV's `catalog` where there is one, else the bundled default. An invalid document in KV is
 * refused with its reasons and never replaces a good one.
 *
 * An isolate answers by a copy of at most 10 s. In production the platform's own cache comes on top: KV gives out what
 * it read up to 30 s ago (`cacheTtl` takes no less), and a write may be another 60 s on its way to other continents.
 */
import { within } from "#src/within.ts";
import bundled from "./default.json" with { type: "json" };
import { type Catalog, type CatalogProblem, parseCatalog } from "./schema.ts";

export const CATALOG_KEY = "catalog";
/** A copy is read again behind the request that finds it this old. */
const COPY_FOR_MS = 5_000;
/** One that is older than this, because no request came by, is waited for. */
const STALE_AFTER_MS = 10_000;
/** Waited for this long; then the old copy has to do. */
const WAITED_FOR_MS = 1_000;
/** How often a waiting request looks whether the reading, which may be another one's, is there. */
const WATCH_EVERY_MS = 5;

/** A KV that dawdles is taken for one that is down. */
const READ_WITHIN_MS = 2_000;
/** The least that the platform allows, in seconds. */
const KV_CACHE_S = 30;

export type CatalogReading = {
  readonly catalog: Catalog;
  /** Why the document in KV was not taken; empty when it was, or when there is none. */
  readonly refused: readonly CatalogProblem[];
  /** False when KV could not be asked: the catalog is then the bundled one, whatever the operator's says. */
  readonly reached: boolean;
  /** What was read, to the letter: the document in KV, or else the bundled one; null when KV could not be asked. */
  readonly document: string | null;
};

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
 * Reads KV once.
 *
 * @param known a reading that stands again, as the same object, where KV still holds its document
 * @returns the bundled default when KV has none or cannot be reached; `refused` says so when KV's own is invalid
 */
export async function readCatalog(
  kv: Pick<KVNamespace, "get">,
  known: CatalogReading | null = null,
): Promise<CatalogReading> {
  const stored = await within(READ_WITHIN_MS, kv.get(CATALOG_KEY, { type: "text", cacheTtl: KV_CACHE_S })).catch(
    (cause: unknown) => {
      console.error(JSON.stringify({ at: "catalog.read", cause: String(cause) }));
      return undefined;
    },
  );
  if (stored === undefined) return { catalog: bundledCatalog(), refused: [], reached: false, document: null };
  const document = stored ?? JSON.stringify(bundled);
  if (known?.document === document) return known;
  const parsed = parseCatalog(asJson(document));
  if (parsed.kind === "valid") return { catalog: parsed.catalog, refused: [], reached: true, document };
  return { catalog: bundledCatalog(), refused: parsed.problems, reached: true, document };
}

/**
 * The catalog for one request: the isolate's copy, refreshed behind requests while they come; the first one after a
 * pause waits for it.
 *
 * @param defer runs work after the response (`waitUntil`)
 */
export async function currentCatalog(
  memory: CatalogMemory,
  kv: Pick<KVNamespace, "get">,
  nowMs: number,
  defer: (work: Promise<void>) => void,
): Promise<CatalogReading> {
  if (memory.reading === null) {
    memory.askedAtMs = nowMs;
    const reading = await readCatalog(kv);
    adopt(memory, reading, nowMs);
    return memory.reading ?? reading;
  }
  if (nowMs - memory.askedAtMs >= COPY_FOR_MS) {
    memory.awaited = nowMs - memory.askedAtMs >= STALE_AFTER_MS;
    memory.askedAtMs = nowMs;
    defer(refresh(memory, kv, nowMs));
  }
  // Also where another request asked: of two that come together, the second would go by what is long over.
  for (let waitedMs = 0; memory.awaited && waitedMs < WAITED_FOR_MS; waitedMs += WATCH_EVERY_MS)
    await scheduler.wait(WATCH_EVERY_MS);
  memory.awaited = false;
  return memory.reading;
}

async function refresh(memory: CatalogMemory, kv: Pick<KVNamespace, "get">, nowMs: number): Promise<void> {
  adopt(memory, await readCatalog(kv, memory.reading), nowMs);
  if (memory.askedAtMs === nowMs) memory.awaited = false;
}

/** The last good one stays in force while KV is down, or holds a document that is none. */
function adopt(memory: CatalogMemory, reading: CatalogReading, nowMs: number): void {
  // One that was long on its way may come after a later one.
  if (nowMs < memory.answeredAtMs) return;
  if (reading.reached) {
    memory.answeredAtMs = nowMs;
    memory.lastRefused = isGood(reading) ? null : refusal(memory, reading, nowMs);
  }
  const isBetter = reading.reached && (isGood(reading) || (memory.reading !== null && !isGood(memory.reading)));
  if (memory.reading === null || isBetter) memory.reading = reading;
}

function isGood({ reached, refused }: CatalogReading): boolean {
  return reached && refused.length === 0;
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

function bundledCatalog(): Catalog {
  const parsed = parseCatalog(bundled);
  if (parsed.kind === "invalid") throw new Error(`the bundled catalog is invalid: ${JSON.stringify(parsed.problems)}`);
  return parsed.catalog;
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
