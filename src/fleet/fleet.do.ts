/**
 * The pool's Fleet object: a thin shell over `pool.ts` that probes every host by alarm, hands out tickets, and tells
 * isolates what it knows. Isolates keep a snapshot and slots given in advance, so it is asked only where a host is not
 * plainly free.
 */
import { DurableObject } from "cloudflare:workers";
import { type CatalogReading, keepLastGood, readCatalog, readLastGood } from "#src/catalog/load.ts";
import type { Catalog, Host } from "#src/catalog/schema.ts";
import type { Env } from "#src/env.ts";
import { reach, reachProblems } from "#src/upstream/reach.ts";
import { CatalogLoads } from "./catalog-loads.ts";
import type { FleetPage, FleetSnapshot, Taken } from "./fleet-words.ts";
import { mayServe } from "./health.ts";
import { HostRecords } from "./host-records.ts";
import { HostStates } from "./host-states.ts";
import { IsolateNames } from "./isolate-names.ts";
import { LoadSamples } from "./load-samples.ts";
import { FleetOutbox } from "./outbox.ts";
import type { Outcome } from "./outcome.ts";
import { Pool } from "./pool.ts";
import { probeAll } from "./probes.ts";
import type { TakeRequest } from "./take.ts";
import type { Report } from "./ticket-book.ts";
import { Turns } from "./turns.ts";
import { capacityOf, type FleetView, type HostView, pairKey } from "./view.ts";

export const PROBE_EVERY_MS = 10_000;
/** A drain is certain when no isolate may fill a slot by itself any more: 2.5 s, and what a report takes. */
const DRAINED_WITHIN_MS = 4_000;

export class Fleet extends DurableObject<Env> {
  readonly #pool = new Pool();
  readonly #turns = new Turns();
  readonly #records: HostRecords;
  readonly #isolates: IsolateNames;
  /** The last good one, which neither an outage of KV nor an invalid document replaces. */
  #catalog: Catalog | null = null;
  #reading: CatalogReading | null = null;
  /** The good document that KV keeps beside the one in force, for isolates that begin while that is invalid. */
  #keptGood: string | null = null;
  #keysEpoch: number;
  readonly #outbox: FleetOutbox;
  readonly #loads: CatalogLoads;
  readonly #told: HostStates;
  readonly #samples: LoadSamples;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    this.#records = new HostRecords(sql);
    sql.exec("CREATE TABLE IF NOT EXISTS epoch (one INTEGER PRIMARY KEY CHECK (one = 1), keys INTEGER NOT NULL)");
    const [epoch] = sql.exec<{ keys: number }>("SELECT keys FROM epoch").toArray();
    this.#keysEpoch = epoch?.keys ?? 0;
    this.#outbox = new FleetOutbox(sql, { sendBatch: (messages) => this.env.USAGE.sendBatch(messages) });
    this.#loads = new CatalogLoads(sql, this.#outbox);
    this.#told = new HostStates(sql, this.#outbox);
    this.#samples = new LoadSamples(sql, this.#outbox);
    this.#isolates = new IsolateNames(sql);
    this.#pool.holdings.expect(this.#isolates.all(), Date.now());
    // What was shut when this object was evicted is shut now, and not only from the next round of probes on.
    this.#shut();
  }

  /** Hears what an isolate holds and has seen, and tells it what is known. The first call of a pool's life starts the probes. */
  async report(report: Report): Promise<FleetSnapshot> {
    const nextProbeAtMs = await this.ensureProbing();
    const catalog = await this.#catalogNow();
    const nowMs = Date.now();
    const hosts = (catalog?.hosts ?? []).map((host) => ({ id: host.id, capacity: capacityOf(host) }));
    this.#isolates.note(report.isolate);
    const { spare, hasOpened } = this.#pool.report(report, hosts, nowMs);
    this.#callTurns();
    // A breaker that opens wants to know at once whether the host is there at all.
    if (hasOpened) await this.ctx.storage.setAlarm(nowMs);
    return {
      view: this.#view(nowMs),
      spare,
      awaited: [...this.#pool.line.hosts()],
      nextProbeAtMs,
      keysEpoch: this.#keysEpoch,
    };
  }

  /**
   * A ticket for one of the request's hosts, at once or in its turn. To be asked again with the same id while it waits:
   * who does not ask is taken for gone.
   *
   * @param pollMs answers `waiting` when the turn has not come by then
   */
  async take(request: TakeRequest, pollMs: number): Promise<Taken> {
    if (!this.#pool.holdings.knows(request.isolate)) return { kind: "unknown" };
    const answer = this.#pool.take(request, Date.now());
    this.#callTurns();
    if (answer.kind === "granted") return { ...answer, waited: false };
    if (answer.kind === "refused") return answer;
    const host = await this.#turns.wait(request.id, pollMs);
    return host === null ? { kind: "waiting" } : { kind: "granted", host, waited: true };
  }

  /** Who waited does not wait any more, or who was granted a ticket does not want it. */
  leave(id: string): void {
    this.#pool.leave(id, Date.now());
    this.#turns.call(id, null);
    this.#callTurns();
  }

  /** Gives a ticket back. @param weight what the request really weighed; null when nobody knows */
  async release(id: string, outcome: Outcome, weight: number | null): Promise<void> {
    const hasOpened = this.#pool.release(id, outcome, weight, Date.now());
    this.#callTurns();
    if (hasOpened) await this.ctx.storage.setAlarm(Date.now());
  }

  /**
   * Drains a host, or takes it back.
   *
   * @returns requests in flight there. No new one starts after a drain has been answered.
   */
  async drain(host: string, isDraining: boolean): Promise<number> {
    this.#records.drain(host, isDraining);
    this.#shut();
    const sinceMs = Date.now();
    const { holdings } = this.#pool;
    while (isDraining && holdings.mayStart(host, sinceMs, Date.now()) && Date.now() - sinceMs < DRAINED_WITHIN_MS)
      await scheduler.wait(50);
    return this.#pool.holdings.inFlight(host);
  }

  /** Everything for the admin's page. */
  async page(): Promise<FleetPage> {
    const nextProbeAtMs = await this.ensureProbing();
    const nowMs = Date.now();
    const hosts = this.#records.hosts().map((host) => {
      const { reason, slots } = this.#records.probed(host);
      return [host, { reason, slots, spare: this.#pool.holdings.spare(host, nowMs) }] as const;
    });
    return {
      view: this.#view(nowMs),
      hosts: Object.fromEntries(hosts),
      waiting: this.#pool.waiting(),
      decisions: this.#pool.decisions.all(),
      refused: this.#reading?.refused ?? [],
      nextProbeAtMs,
    };
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
    const reading = await this.#readCatalog();
    if (this.#catalog !== null) await this.#probeAll(this.#catalog);
    this.#sweep(Date.now());
    this.#callTurns();
    this.#keptGood = await keepLastGood(this.env.KV, reading, this.#keptGood);
    await this.#loads.note(reading, Date.now());
    await this.#outbox.send();
  }

  #sweep(nowMs: number): void {
    const { holdings } = this.#pool;
    this.#pool.sweep(nowMs);
    if (!holdings.isUnsure(nowMs)) this.#isolates.keepOnly((name) => holdings.knows(name));
  }

  /** The catalog in force; read anew by every alarm. */
  async #catalogNow(): Promise<Catalog | null> {
    if (this.#catalog === null) await this.#readCatalog();
    return this.#catalog;
  }

  async #readCatalog(): Promise<CatalogReading> {
    const reading = await readCatalog(this.env.KV, this.#reading, (found) => reachProblems(found, this.env));
    if (!reading.reached) return reading;
    this.#reading = reading;
    if (reading.refused.length === 0) this.#catalog = reading.catalog;
    this.#catalog ??= (await readLastGood(this.env.KV))?.catalog ?? null;
    return reading;
  }

  async #probeAll(catalog: Catalog): Promise<void> {
    const canaryOf = (host: Host) => this.#records.canaryDue(catalog, host, Date.now());
    const known = new Set(catalog.hosts.map(({ id }) => id));
    this.#records.keepOnly(known);
    this.#pool.signals.keepOnly(known, pairsOf(catalog));
    const askOf = (host: Host) => reach(host, this.env, fetch);
    await probeAll(catalog.hosts, askOf, canaryOf, Math.random, (host, probed) => {
      if (this.#records.observe(catalog, host, probed)) this.#pool.signals.recovered(host.id, Date.now());
      this.#shut();
    });
    const nowMs = Date.now();
    const hosts = catalog.hosts.map((host) => {
      return { ...host, health: this.#records.health(host.id), reason: this.#records.probed(host.id).reason };
    });
    this.#told.note(hosts, nowMs);
    const samples = hosts.map(({ id: host }) => {
      const { load } = this.#records.probed(host);
      return { host, load, inFlight: this.#pool.holdings.inFlight(host), waiting: this.#pool.line.waitingFor(host) };
    });
    this.#samples.note(samples, nowMs);
  }

  /** Nothing new starts where a host is draining or cannot serve. */
  #shut(): void {
    const shut = this.#records
      .hosts()
      .filter((host) => this.#records.isDraining(host) || !mayServe(this.#records.health(host).state));
    this.#pool.shut(new Set(shut), Date.now());
    this.#callTurns();
  }

  #callTurns(): void {
    for (const { id, host } of this.#pool.turns()) this.#turns.call(id, host);
  }

  #view(nowMs: number): FleetView {
    const hosts = this.#records.hosts().map((host): [string, HostView] => {
      const { load, missing } = this.#records.probed(host);
      const { state } = this.#records.health(host);
      const draining = this.#records.isDraining(host);
      const inFlight = this.#pool.holdings.inFlight(host);
      return [host, { state, draining, load, inFlight, busyUntilMs: this.#pool.signals.busyUntilMs(host), missing }];
    });
    return { hosts: Object.fromEntries(hosts), pairs: this.#pool.signals.view(nowMs) };
  }
}

/** What may be asked of hosts: of what is switched off nothing is remembered. */
function pairsOf({ models }: Catalog): ReadonlySet<string> {
  const places = models.flatMap(({ served, shadow }) => [...served.filter(({ enabled }) => enabled), ...shadow]);
  return new Set(places.map(({ host, as }) => pairKey(host, as)));
}
