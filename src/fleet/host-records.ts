/**
 * What the Fleet object keeps of each host in its storage: what probes said, and whether an operator drains it. The last
 * probe's details are kept in memory only: the next one is 10 s away.
 */
import type { Catalog, Host } from "#src/catalog/schema.ts";
import { type HostHealth, NEVER_PROBED, observe } from "./health.ts";
import { UNKNOWN_LOAD } from "./load.ts";
import type { Probed } from "./probe.ts";
import { missingNames } from "./probes.ts";

/** A host that was gone is trusted again after so many good probes in a row. */
const GOOD_PROBES_TO_RECOVER = 2;

export class HostRecords {
  readonly #sql: SqlStorage;
  readonly #health = new Map<string, HostHealth>();
  readonly #probed = new Map<string, Probed & { readonly missing: readonly string[] }>();
  readonly #drained = new Set<string>();
  /** Those that have not answered well, and not long enough since. */
  readonly #gone = new Set<string>();
  readonly #canaryAtMs = new Map<string, number>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS health (host TEXT PRIMARY KEY, value TEXT NOT NULL)");
    sql.exec("CREATE TABLE IF NOT EXISTS drained (host TEXT PRIMARY KEY)");
    const rows = sql.exec<{ host: string; value: string }>("SELECT host, value FROM health");
    for (const { host, value } of rows) this.#health.set(host, JSON.parse(value));
    for (const { host } of sql.exec<{ host: string }>("SELECT host FROM drained")) this.#drained.add(host);
  }

  health(host: string): HostHealth {
    return this.#health.get(host) ?? NEVER_PROBED;
  }

  /** Every host that anything is known of. */
  hosts(): readonly string[] {
    return [...new Set([...this.#health.keys(), ...this.#drained])];
  }

  /** The last probe; what nobody knows is null. */
  probed(host: string): Omit<Probed, "result"> & { readonly missing: readonly string[] } {
    return this.#probed.get(host) ?? { reason: null, load: UNKNOWN_LOAD, serves: null, slots: null, missing: [] };
  }

  isDraining(host: string): boolean {
    return this.#drained.has(host);
  }

  drain(host: string, isDraining: boolean): void {
    if (isDraining) this.#sql.exec("INSERT INTO drained (host) VALUES (?) ON CONFLICT DO NOTHING", host);
    else this.#sql.exec("DELETE FROM drained WHERE host = ?", host);
    if (isDraining) this.#drained.add(host);
    else this.#drained.delete(host);
  }

  /** The name that a host is to generate one token with now; null when none is due. */
  canaryDue({ models }: Catalog, { id, canary }: Host, nowMs: number): string | null {
    if (canary === undefined) return null;
    // After a failure each probe has to prove itself: a hung engine calls itself healthy between two canaries.
    const isSuspect = this.health(id).lastResult === "failed";
    if (!isSuspect && nowMs - (this.#canaryAtMs.get(id) ?? 0) < canary.everyS * 1_000) return null;
    const { missing } = this.probed(id);
    const served = models
      .filter(({ kind, enabled }) => kind === "generation" && enabled)
      .flatMap((model) => model.served)
      .find(({ host, as, enabled }) => host === id && enabled && !missing.includes(as));
    if (served === undefined) return null;
    this.#canaryAtMs.set(id, nowMs);
    return served.as;
  }

  /**
   * Takes in what one probe found.
   *
   * @returns whether the host was gone and has just answered for long enough to be trusted again
   */
  observe(catalog: Catalog, host: Host, probed: Probed): boolean {
    const health = observe(this.health(host.id), probed.result);
    this.#health.set(host.id, health);
    // Who does not say what it serves now serves what it served.
    const serves = probed.serves ?? this.#probed.get(host.id)?.serves ?? null;
    this.#probed.set(host.id, { ...probed, serves, missing: missingNames(catalog, host, serves) });
    this.#sql.exec(
      "INSERT INTO health (host, value) VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET value = excluded.value",
      ...[host.id, JSON.stringify(health)],
    );
    if (probed.result !== "healthy") this.#gone.add(host.id);
    return probed.result === "healthy" && health.inRow >= GOOD_PROBES_TO_RECOVER && this.#gone.delete(host.id);
  }

  /** Forgets what probes said of hosts that the catalog has no more. */
  keepOnly(hosts: ReadonlySet<string>): void {
    for (const known of this.#health.keys()) {
      if (hosts.has(known)) continue;
      this.#health.delete(known);
      this.#probed.delete(known);
      this.#sql.exec("DELETE FROM health WHERE host = ?", known);
    }
  }
}
