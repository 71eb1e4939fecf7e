/**
 * The ledger against engines: what each host's own counters say of the time since the look before, which the report
 * before keeps. A difference may be honest: requests in flight at either look, work for a host that was given up, and
 * what reached the engine past the gateway are the engine's alone.
 */
import { z } from "zod";
import type { Host } from "#src/catalog/schema.ts";
import { readTotalsOfHost } from "#src/postgres/ledger-totals.ts";
import { readReportBefore } from "#src/postgres/reports.ts";
import { countersIn } from "./engine-counters.ts";
import { compare, type EngineLook, engineLook, lookAt } from "./engine-span.ts";
import type { JobWorld } from "./job.ts";

/** Null with the reason where there was nothing to see. */
export type Sight = {
  readonly host: Host;
  readonly look: EngineLook | null;
  readonly reason: "unreachable" | "no_counters" | null;
  readonly cause: string | null;
};

/** Looks at every host of the catalog, all at once. */
export async function lookAtEngines(world: JobWorld): Promise<Sight[]> {
  const hosts = await world.hosts();
  return Promise.all(hosts.map((host) => see(host, world)));
}

async function see(host: Host, { expositionOf, now }: JobWorld): Promise<Sight> {
  try {
    const counters = countersIn(await expositionOf(host), host.engine);
    if (counters === null) return { host, look: null, reason: "no_counters", cause: null };
    return { host, look: lookAt(counters, now()), reason: null, cause: null };
  } catch (cause) {
    return { host, look: null, reason: "unreachable", cause: String(cause) };
  }
}

const keptLooks = z.object({ hosts: z.array(z.object({ host: z.string(), look: engineLook.nullable() })) });

/**
 * The looks before, by host.
 *
 * Those of an earlier period: a report is written anew when its day is over, and then has to cover all of the day.
 */
export async function looksBefore(
  { session }: JobWorld,
  kind: string,
  startMs: number,
): Promise<ReadonlyMap<string, EngineLook | null>> {
  const kept = keptLooks.safeParse((await readReportBefore(session, kind, startMs))?.body);
  return new Map(kept.success ? kept.data.hosts.map(({ host, look }) => [host, look]) : []);
}

/** Holds a look against the one before and the ledger. The difference is what the engine counted more. */
export async function compareEngine(
  { session }: JobWorld,
  { host, look, reason, cause }: Sight,
  before: EngineLook | null,
) {
  const known = { host: host.id, engine: host.engine, before };
  const nothing = { requests: null, engine_counted: null, ledger: null, difference: null };
  // A host that does not answer keeps the look before, for when it does again.
  if (look === null) return { ...known, look: before, ...nothing, reason, cause };
  const ledger = await readTotalsOfHost(session, host.id, before?.at_ms ?? look.at_ms, look.at_ms);
  const span = compare(host.engine, before, look, ledger);
  if (span.kind === "incomparable") return { ...known, look, ...nothing, reason: span.reason, cause };
  const { engine, ledger: entered, difference } = span;
  const figures = { requests: ledger.requests, engine_counted: engine, ledger: entered, difference };
  return { ...known, look, ...figures, reason: null, cause };
}
