/**
 * The storm's catalog: the bundled one, with limits so wide that they are not what is tested, without kept answers, so
 * that every request reaches a host, and with deadlines that end a hung stream within the run.
 */
import { readFileSync } from "node:fs";
import { inRepository } from "#scripts/stack/repository.ts";
import { type Catalog, parseCatalog } from "#src/catalog/schema.ts";

const WIDE = { rpm: 1e9, rph: 1e9, rpd: 1e9, tpm: 1e12, concurrency: 1e6, share: 1 };
const DEADLINES = { firstToken: 10_000, betweenTokens: 4_000, total: 60_000 };

/** @throws Error when the bundled catalog is not what this file takes it for */
export function stormCatalog(): Catalog {
  const bundled: { hosts: unknown; models: object[] } = JSON.parse(
    readFileSync(inRepository("src", "catalog", "default.json"), "utf8"),
  );
  const parsed = parseCatalog({
    ...bundled,
    models: bundled.models.map((model) => ({ ...model, cache: undefined, deadlines: DEADLINES })),
    tiers: { basic: WIDE, default: WIDE, premium: WIDE, enterprise: WIDE },
  });
  if (parsed.kind === "valid") return parsed.catalog;
  throw new Error(`the storm's catalog: ${parsed.problems.map(({ path, reason }) => `${path}: ${reason}`).join("; ")}`);
}
