/** The least catalog there is, changed where a test says so. */
import { type Catalog, parseCatalog } from "#src/catalog/schema.ts";

export const HOST = { id: "gpu", engine: "vllm", reach: { via: "direct", url: "http://127.0.0.1:9101" } };
export const MODEL = { id: "m", served: [{ host: "gpu", as: "org/M" }] };
export const TIER = { rpm: 1, rph: 1, rpd: 1, tpm: 1, concurrency: 1, share: 1 };

export function catalogOf(changed: { host?: object; model?: object; rest?: object } = {}): object {
  return { hosts: [{ ...HOST, ...changed.host }], models: [{ ...MODEL, ...changed.model }], ...changed.rest };
}

/** @throws Error with every problem, when the catalog is refused */
export function valid(json: unknown): Catalog {
  const parsed = parseCatalog(json);
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return parsed.catalog;
}

/** The paths of what is wrong; none when the catalog is taken. */
export function wrongAt(json: unknown): string[] {
  const parsed = parseCatalog(json);
  return parsed.kind === "invalid" ? parsed.problems.map(({ path }) => path) : [];
}
