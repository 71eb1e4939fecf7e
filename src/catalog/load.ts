/**
 * The catalog in force: KV's `catalog` where there is one, else the bundled default. An invalid document in KV is
 * refused with its reasons and never replaces a good one.
 */
import { within } from "#src/within.ts";
import bundled from "./default.json" with { type: "json" };
import { type Catalog, type CatalogProblem, parseCatalog } from "./schema.ts";

export const CATALOG_KEY = "catalog";
/** How old an isolate's copy may grow before it is read again behind a request. */
const COPY_FOR_MS = 10_000;

/** A KV that dawdles is taken for one that is down. */
const READ_WITHIN_MS = 2_000;

export type CatalogReading = {
  readonly catalog: Catalog;
  /** Why the document in KV was not taken; empty when it was, or when there is none. */
  readonly refused: readonly CatalogProblem[];
  /** False when KV could not be asked: the catalog is then the bundled one, whatever the operator's says. */
  readonly reached: boolean;
  /** What was read, to the letter: the document in KV, or else the bundled one; null when KV could not be asked. */
  readonly document: string | null;
};

/** An isolate's copy. Values only: see the platform's rule on promises across requests. */
export type CatalogMemory = { reading: CatalogReading | null; readAtMs: number };

export const newCatalogMemory = (): CatalogMemory => ({ reading: null, readAtMs: Number.NEGATIVE_INFINITY });

/**
 * Reads KV once.
 *
 * @returns the bundled default when KV has none or cannot be reached; `refused` says so when KV's own is invalid
 */
export async function readCatalog(kv: Pick<KVNamespace, "get">): Promise<CatalogReading> {
  const stored = await within(READ_WITHIN_MS, kv.get(CATALOG_KEY, { type: "text", cacheTtl: 30 })).catch(
    (cause: unknown) => {
      console.error(JSON.stringify({ at: "catalog.read", cause: String(cause) }));
      return undefined;
    },
  );
  if (stored === undefined) return { catalog: bundledCatalog(), refused: [], reached: false, document: null };
  const document = stored ?? JSON.stringify(bundled);
  const parsed = parseCatalog(asJson(document));
  if (parsed.kind === "valid") return { catalog: parsed.catalog, refused: [], reached: true, document };
  return { catalog: bundledCatalog(), refused: parsed.problems, reached: true, document };
}

/**
 * The catalog for one request: the isolate's copy, refreshed behind the request when it has grown old.
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
    memory.reading = await readCatalog(kv);
    memory.readAtMs = nowMs;
  } else if (nowMs - memory.readAtMs >= COPY_FOR_MS) {
    memory.readAtMs = nowMs;
    defer(refresh(memory, kv));
  }
  return memory.reading;
}

async function refresh(memory: CatalogMemory, kv: Pick<KVNamespace, "get">): Promise<void> {
  const reading = await readCatalog(kv);
  // The last good one stays in force while KV is down; a document that has become invalid is only reported.
  if (!reading.reached) return;
  if (reading.refused.length === 0) memory.reading = reading;
  else console.error(JSON.stringify({ at: "catalog.refused", problems: reading.refused }));
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
