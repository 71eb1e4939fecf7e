/** Causeway as it is deployed, with everything on: limits of every kind, a ledger in Postgres, prices, metrics. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { productionWorker } from "#scripts/production/worker.ts";
import { startStack } from "#scripts/stack/stack.ts";
import { type Catalog, parseCatalog } from "#src/catalog/schema.ts";
import { AUDIENCE, callers } from "./callers.ts";
import { type Contestant, MODEL, type Ring, type Running } from "./contestant.ts";

/** All kinds of limits, and none of them in the way. */
const TIER = {
  rpm: 1e9,
  rph: 1e9,
  rpd: 1e9,
  tpm: 1e12,
  tpd: 1e12,
  budget: { perDay: 1e6, perMonth: 1e6 },
  concurrency: 100_000,
  share: 1,
};
const PRICE = { per1kPromptTokens: 0.0001, per1kCompletionTokens: 0.0004 };
const SLOTS = 4_096;

export const causeway: Contestant = { name: "Causeway", start: (ring) => startGateway(ring) };

/**
 * @param entry another entry than the gateway's own, bundled in the same way; it is told the engine in the variable named
 *   here
 */
export async function startGateway(
  { engine, folder, pinned, print, signal }: Ring,
  entry: { readonly file: string; readonly engineIn: string } | null = null,
): Promise<Running> {
  const people = await callers();
  const catalogFile = join(folder, "catalog.json");
  const catalog = JSON.stringify(catalogOn(engine));
  writeFileSync(catalogFile, catalog);
  const identity = { issuer: people.issuer, audience: AUDIENCE };
  const options = { port: 0, stateDir: join(folder, "state"), catalogFile, identity, lab: false };
  const { stack, parts, stop } = await startStack(options, {
    print,
    signal,
    // Beside whatever else is on.
    usualPorts: false,
    startWorker: productionWorker(pinned, catalog, { entry: entry?.file ?? null }),
    variables: entry === null ? {} : { [entry.engineIn]: engine },
  }).catch((error: unknown) => {
    // It listens in our own process, which would never end.
    people.stop();
    throw error;
  });
  return {
    what: "production bundle, objects, KV and queue local, Postgres",
    url: `${stack.gateway}/v1/chat/completions`,
    headers: {},
    callers: {
      one: () => people.people(1),
      fifty: () => people.people(50),
      "new tokens": () => people.newTokens(NEW_TOKENS),
    },
    groups: [parts.worker.pid()],
    stop: async () => {
      people.stop();
      await stop();
    },
  };
}

/** More than a window at saturation begins. */
const NEW_TOKENS = 12_000;

function catalogOn(engine: string): Catalog {
  const parsed = parseCatalog({
    hosts: [{ id: "mock", engine: "vllm", slots: SLOTS, reach: { via: "direct", url: engine } }],
    models: [{ id: MODEL, served: [{ host: "mock", as: MODEL }], price: PRICE }],
    tiers: { default: TIER, bench: TIER },
  });
  if (parsed.kind === "valid") return parsed.catalog;
  throw new Error(`the bench's catalog: ${parsed.problems.map(({ path, reason }) => `${path}: ${reason}`).join("; ")}`);
}
