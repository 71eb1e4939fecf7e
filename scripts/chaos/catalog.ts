/** The catalog of a run: the scenarios' hosts and models, with tiers so wide that they are not what is tested. Pure. */
import { type Catalog, parseCatalog } from "#src/catalog/schema.ts";
import type { Plan } from "./plan.ts";

const WIDE = { rpm: 1e9, rph: 1e9, rpd: 1e9, tpm: 1e12, concurrency: 1e6, share: 1 };

/**
 * @param urls base URL by host id
 * @throws Error when a scenario says what the catalog's grammar does not allow
 */
export function catalogOf(plans: readonly Plan[], urls: Readonly<Record<string, string>>): Catalog {
  const parsed = parseCatalog({
    hosts: plans.flatMap(({ hosts }) =>
      hosts.map(({ id, engine = "vllm", slots, listed }) => {
        return { id, engine, slots, reach: { via: "direct", url: urls[id] }, ...listed };
      }),
    ),
    models: plans.flatMap(({ models }) =>
      models.map(({ id, on, listed }) => ({ id, served: on.map((host) => ({ host, as: id })), ...listed })),
    ),
    tiers: { default: WIDE },
  });
  if (parsed.kind === "valid") return parsed.catalog;
  throw new Error(
    `the catalog of chaos: ${parsed.problems.map(({ path, reason }) => `${path}: ${reason}`).join("; ")}`,
  );
}
