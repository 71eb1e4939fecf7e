/**
 * Reads the catalog: KV's `catalog` where there is one, else the bundled default. An invalid document in KV is refused
 * with its reasons. In production the platform's own cache comes on top: KV gives out what it read up to 30 s ago
 * (`cacheTtl` takes no less), and a write may be another 60 s on its way to other continents.
 */
import { within } from "#src/within.ts";
import bundled from "./default.json" with { type: "json" };
import { type Catalog, type CatalogProblem, parseCatalog } from "./schema.ts";

export const CATALOG_KEY = "catalog";
/** The last document that was good, for isolates that begin while `catalog` holds one that is not. */
export const GOOD_CATALOG_KEY = "catalog.good";
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

/** A secret that a host's key comes from, a binding: what a document may name and only the Worker can have. */
export type Lacking = (catalog: Catalog) => readonly CatalogProblem[];

/**
 * Reads KV once.
 *
 * @param known a reading that stands again, as the same object, where KV still holds its document
 * @param lacking what the Worker lacks for a catalog that is valid in itself
 * @returns the bundled default when KV has none or cannot be reached; `refused` says so when KV's own is invalid
 */
export async function readCatalog(
  kv: Pick<KVNamespace, "get">,
  known: CatalogReading | null = null,
  lacking: Lacking = () => [],
): Promise<CatalogReading> {
  const stored = await storedIn(kv, CATALOG_KEY);
  if (stored === undefined) return { catalog: bundledCatalog(), refused: [], reached: false, document: null };
  const document = stored ?? JSON.stringify(bundled);
  if (known?.document === document) return known;
  const parsed = parseCatalog(asJson(document));
  const problems = parsed.kind === "valid" ? lacking(parsed.catalog) : parsed.problems;
  if (parsed.kind === "valid" && problems.length === 0)
    return { catalog: parsed.catalog, refused: [], reached: true, document };
  return { catalog: bundledCatalog(), refused: problems, reached: true, document };
}

/** A document of KV's; null when there is none, undefined when KV cannot be reached. */
async function storedIn(kv: Pick<KVNamespace, "get">, key: string): Promise<string | null | undefined> {
  try {
    return await within(READ_WITHIN_MS, kv.get(key, { type: "text", cacheTtl: KV_CACHE_S }));
  } catch (cause) {
    console.error(JSON.stringify({ at: "catalog.read", key, cause: String(cause) }));
    return undefined;
  }
}

/**
 * Keeps a good document in KV as the last one, for `readLastGood`. For the one caller that reads the catalog all the
 * time; a KV that cannot be reached is tried again the next time.
 *
 * @param kept the document that is known to be kept already; null when that is not known
 * @returns the document that is kept now
 */
export async function keepLastGood(
  kv: Pick<KVNamespace, "put">,
  reading: CatalogReading,
  kept: string | null,
): Promise<string | null> {
  const { document } = reading;
  if (!isGood(reading) || document === null || document === kept) return kept;
  try {
    await within(READ_WITHIN_MS, kv.put(GOOD_CATALOG_KEY, document));
    return document;
  } catch (cause) {
    console.error(JSON.stringify({ at: "catalog.keep", cause: String(cause) }));
    return kept;
  }
}

/** The last good catalog, for where KV's own is not: a typo must not stop what begins after it. Null: there is none. */
export async function readLastGood(kv: Pick<KVNamespace, "get">): Promise<CatalogReading | null> {
  const document = await storedIn(kv, GOOD_CATALOG_KEY);
  if (document === undefined || document === null) return null;
  const parsed = parseCatalog(asJson(document));
  return parsed.kind === "valid" ? { catalog: parsed.catalog, refused: [], reached: true, document } : null;
}

/** Whether it is what KV holds, and may be in force. */
export function isGood({ reached, refused }: CatalogReading): boolean {
  return reached && refused.length === 0;
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
