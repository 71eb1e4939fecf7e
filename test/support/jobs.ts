/** Jobs for tests: what they run on, what they leave behind, and a way to cut them off in the middle. */
import type { Host } from "#src/catalog/schema.ts";
import { DAY_MS } from "#src/jobs/calendar.ts";
import type { Surroundings } from "#src/jobs/run.ts";
import { hostLoadsInsert } from "#src/postgres/host-loads.ts";
import { hostStatesInsert } from "#src/postgres/host-states.ts";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import { inSession, type Session } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import type { HostLoadEvent, HostStateEvent, InferenceEvent } from "#src/usage/event.ts";
import type { TestDatabase } from "./database.ts";

/** A Saturday, at nine in the morning. */
export const NOW_MS = Date.parse("2026-11-21T09:00:00Z");

/** A world whose clock stands, with no hosts and accounts that know nothing, on a database. */
export function surroundingsOn(database: TestDatabase, changed: Partial<Surroundings> = {}): Surroundings {
  return {
    now: () => NOW_MS,
    wait: () => Promise.resolve(),
    connect: (work, bounds) => inSession(database.connectionString, work, bounds),
    lockWithinMs: 200,
    hosts: () => Promise.resolve([]),
    expositionOf: () => Promise.reject(new Error("nobody asked for this")),
    totalsOf: () => Promise.resolve({}),
    accountOfKey: (owner) => `key|${owner}`,
    ...changed,
  };
}

/** Hosts of a catalog. */
export const hostsOf = (...hosts: readonly (Pick<Host, "id" | "engine"> & Partial<Host>)[]): Host[] =>
  hosts.map((host) => {
    const reach = { via: "direct" as const, url: `http://${host.id}.test` };
    const open = { native: false, offers: [], cacheSalt: true };
    return { ...open, region: [], slots: 4, overcommit: 1, weight: 1, backup: false, reach, ...host };
  });

/** Into the ledger, as the consumer writes it. */
export async function enter(database: TestDatabase, ...events: InferenceEvent[]): Promise<void> {
  await database.query((session) => transact(session, "causeway_writer", [inferenceLogsInsert(events, NOW_MS)]));
}

export async function enterStates(database: TestDatabase, ...events: HostStateEvent[]): Promise<void> {
  await database.query((session) => transact(session, "causeway_writer", [hostStatesInsert(events)]));
}

export async function enterLoads(database: TestDatabase, ...events: HostLoadEvent[]): Promise<void> {
  await database.query((session) => transact(session, "causeway_writer", [hostLoadsInsert(events)]));
}

/** What jobs make and let go of, without the times at which they did and what each run had to do for it. */
export async function leftBehind(database: TestDatabase): Promise<Record<string, unknown>> {
  const tables: Record<string, string> = {
    days: `SELECT to_jsonb(d) - 'rolled_at' AS row FROM usage_day d ORDER BY 1`,
    hours: `SELECT to_jsonb(m) AS row FROM model_metrics m WHERE kind = 'hour' ORDER BY 1`,
    reports: `SELECT to_jsonb(r) - 'created_at' AS row FROM reports r ORDER BY 1`,
    runs: `SELECT name, period_start, period_end, state FROM job_runs ORDER BY 1, 2`,
    content: `SELECT id, prompt, response, ip_address FROM inference_logs ORDER BY 1`,
    partitions: `SELECT relname FROM pg_class JOIN pg_inherits ON oid = inhrelid WHERE relkind = 'r' ORDER BY 1`,
    letters: `SELECT id FROM dead_letter ORDER BY 1`,
  };
  const left: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(tables))
    left[name] = (await database.rows(text)).map((row) => row.row ?? row);
  return left;
}

/**
 * The same world, whose connections all die at one statement of the run, counted from 0 over all of them.
 *
 * @param moment whether that statement still takes effect
 */
export function cutAt(
  surroundings: Surroundings,
  statement: number,
  moment: "before" | "after",
): { surroundings: Surroundings; statements: () => number } {
  let count = 0;
  let isDead = false;
  const gone = (): Error => new Error("Connection terminated unexpectedly");
  const mortal = (session: Session): Session => {
    const query = async (text: string, values?: unknown[]): Promise<unknown> => {
      if (isDead) throw gone();
      const isLast = count++ === statement;
      if (isLast) isDead = true;
      if (isLast && moment === "before") throw gone();
      const result = await session.query(text, values);
      if (isLast) throw gone();
      return result;
    };
    return { query } as unknown as Session;
  };
  const connect: Surroundings["connect"] = (work, bounds) =>
    surroundings.connect((session) => work(mortal(session)), bounds);
  return { surroundings: { ...surroundings, connect }, statements: () => count };
}

/** A few hundred requests over some days, the same ones for the same seed. */
export function manyEvents(
  eventWith: (changed: Partial<InferenceEvent>) => InferenceEvent,
  { count, days, untilMs = NOW_MS, seed = 1 }: { count: number; days: number; untilMs?: number; seed?: number },
): InferenceEvent[] {
  const random = randomOf(seed);
  const pick = <T>(...values: readonly [T, ...T[]]): T => values[Math.floor(random() * values.length)] ?? values[0];
  return Array.from({ length: count }, () => {
    const outcome = pick<InferenceEvent["outcome"]>(
      "complete",
      "complete",
      "complete",
      "upstream_error",
      "client_left",
      "abandoned",
      "cached",
    );
    const isCached = outcome === "cached";
    return eventWith({
      atMs: Math.floor(untilMs - random() * days * DAY_MS),
      outcome,
      cache: isCached ? "hit" : "miss",
      account: pick("https://issuer.test|ann", "https://issuer.test|bob", "key|n8n"),
      tenant: pick<string | null>(null, "acme", "umbrella"),
      keyId: pick<string | null>(null, "key_1"),
      model: pick("llama", "mixtral"),
      host: isCached ? null : pick("gpu", "cpu"),
      promptTokens: isCached ? 0 : Math.floor(random() * 500),
      completionTokens: isCached ? 0 : Math.floor(random() * 300),
      savedTokens: isCached ? Math.floor(random() * 300) : 0,
      cachedTokens: pick<number | null>(null, 16),
      costMicros: pick<number | null>(null, 5, 17),
      latencyMs: Math.floor(random() * 20_000),
      hostMs: isCached ? null : Math.floor(random() * 20_000),
      ttftMs: pick<number | null>(null, Math.floor(random() * 900)),
      estimated: pick(true, false, false),
      ip: "203.0.113.9",
      content: pick<InferenceEvent["content"]>(null, { prompt: "p", response: "r" }),
    });
  });
}

/** Numbers in [0, 1), the same ones for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
