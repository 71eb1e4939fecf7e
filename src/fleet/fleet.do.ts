/**
 * The pool's Fleet object: a thin shell that probes every host by alarm and hands out what it learned. It is not on the
 * path of a request: isolates keep a snapshot. Decisions are in `health.ts` and `plan.ts`.
 */
import { DurableObject } from "cloudflare:workers";
import { readCatalog } from "#src/catalog/load.ts";
import type { Catalog } from "#src/catalog/schema.ts";
import type { Env } from "#src/env.ts";
import { reach } from "#src/upstream/reach.ts";
import { CatalogLoads } from "./catalog-loads.ts";
import { type HostHealth, type HostState, NEVER_PROBED, observe } from "./health.ts";
import { HostStates } from "./host-states.ts";
import { FleetOutbox } from "./outbox.ts";
import { probe } from "./probe.ts";

export const PROBE_EVERY_MS = 10_000;

export type FleetSnapshot = {
  readonly states: Readonly<Record<string, HostState>>;
  /** When the hosts are asked next, ms since the epoch: before then nothing changes. */
  readonly nextProbeAtMs: number;
  /** Raised by an admin's purge: issuers' keys fetched before it are not trusted any more. */
  readonly keysEpoch: number;
};

export class Fleet extends DurableObject<Env> {
  readonly #health = new Map<string, HostHealth>();
  /** The last good one, which neither an outage of KV nor an invalid document replaces. */
  #catalog: Catalog | null = null;
  #keysEpoch: number;
  readonly #outbox: FleetOutbox;
  readonly #loads: CatalogLoads;
  readonly #told: HostStates;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS health (host TEXT PRIMARY KEY, value TEXT NOT NULL)");
    const rows = ctx.storage.sql.exec<{ host: string; value: string }>("SELECT host, value FROM health");
    for (const { host, value } of rows) this.#health.set(host, JSON.parse(value));
    ctx.storage.sql.exec(
      "CREATE TABLE IF NOT EXISTS epoch (one INTEGER PRIMARY KEY CHECK (one = 1), keys INTEGER NOT NULL)",
    );
    const [epoch] = ctx.storage.sql.exec<{ keys: number }>("SELECT keys FROM epoch").toArray();
    this.#keysEpoch = epoch?.keys ?? 0;
    this.#outbox = new FleetOutbox(ctx.storage.sql, env.USAGE);
    this.#loads = new CatalogLoads(ctx.storage.sql, this.#outbox);
    this.#told = new HostStates(ctx.storage.sql, this.#outbox);
  }

  /** What is known of every host. The first call of a pool's life starts the probes. */
  async snapshot(): Promise<FleetSnapshot> {
    const nextProbeAtMs = await this.ensureProbing();
    const states = Object.fromEntries([...this.#health].map(([host, { state }]) => [host, state]));
    return { states, nextProbeAtMs, keysEpoch: this.#keysEpoch };
  }

  /** Makes every isolate forget the issuers' keys when it next looks, which it does within 5 s. */
  purgeKeys(): number {
    this.#keysEpoch += 1;
    this.ctx.storage.sql.exec(
      "INSERT INTO epoch (one, keys) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET keys = excluded.keys",
      this.#keysEpoch,
    );
    return this.#keysEpoch;
  }

  /** Sets the alarm if none is set: an alarm that failed six times is dropped by the platform. */
  async ensureProbing(): Promise<number> {
    const set = await this.ctx.storage.getAlarm();
    if (set !== null) return set;
    const nowMs = Date.now();
    await this.ctx.storage.setAlarm(nowMs);
    return nowMs;
  }

  /** Never throws; the next alarm is set before anything can fail. */
  override async alarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + PROBE_EVERY_MS);
    const reading = await readCatalog(this.env.KV);
    if (reading.reached && reading.refused.length === 0) this.#catalog = reading.catalog;
    if (this.#catalog !== null) await this.#probeAll(this.#catalog);
    await this.#loads.note(reading, Date.now());
    await this.#outbox.send();
  }

  async #probeAll(catalog: Catalog): Promise<void> {
    const results = await Promise.all(
      catalog.hosts.map(async (host) => {
        // Reached inside the probe: a host without its binding is that host's failure, not the round's.
        const result = await probe((path, init) => reach(host, this.env, fetch)(path, init));
        return [host.id, result] as const;
      }),
    );
    for (const known of this.#health.keys())
      if (!catalog.hosts.some(({ id }) => id === known)) this.#health.delete(known);
    for (const [host, result] of results)
      this.#health.set(host, observe(this.#health.get(host) ?? NEVER_PROBED, result));
    const rows = [...this.#health].map(([host, value]) => ({ host, value }));
    this.ctx.storage.sql.exec("DELETE FROM health");
    this.ctx.storage.sql.exec(
      "INSERT INTO health (host, value) SELECT value ->> 'host', value -> 'value' FROM json_each(?)",
      JSON.stringify(rows),
    );
    const hosts = catalog.hosts.map((host) => ({ ...host, health: this.#health.get(host.id) ?? NEVER_PROBED }));
    this.#told.note(hosts, Date.now());
  }
}
