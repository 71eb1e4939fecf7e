/** What the ledger says of the questions of a scenario, once all of them are in it. Reads only. */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { z } from "zod";
import type { Seen } from "./caller.ts";

const entry = z.object({
  id: z.string(),
  host: z.string().nullable(),
  outcome: z.string(),
  /** Hosts that were asked, whether they answered or could not be reached. */
  attempts: z.number(),
  queueWaitMs: z.number().nullable(),
});
export type Entry = z.infer<typeof entry>;
/** By request id. */
export type Entries = ReadonlyMap<string, Entry>;

const ENTRIES = `SELECT id, host, outcome, attempts, queue_wait_ms AS "queueWaitMs"
  FROM inference_logs WHERE workflow_id = $1`;

/** The queue delivers within a second or two; what a busy machine fails to deliver comes half a minute later. */
const WITHIN_MS = 40_000;
const LOOK_EVERY_MS = 1_000;

/** The entries of all of these, or of as many as are there when the time is over. */
export async function entriesOf(
  database: string,
  workflow: string,
  seen: readonly Seen[],
  signal: AbortSignal,
): Promise<Entries> {
  const ids = seen.flatMap(({ requestId }) => requestId ?? []);
  const client = new pg.Client({ connectionString: database, connectionTimeoutMillis: 5_000 });
  client.on("error", () => undefined);
  await client.connect();
  try {
    for (const endMs = Date.now() + WITHIN_MS; ; await sleep(LOOK_EVERY_MS, undefined, { signal })) {
      const rows = z.array(entry).parse((await client.query(ENTRIES, [workflow])).rows);
      const found = new Map(rows.map((row) => [row.id, row]));
      if (Date.now() > endMs || ids.every((id) => found.has(id))) return found;
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

const COUNT = "SELECT count(*)::int AS rows FROM inference_logs WHERE workflow_id = $1";

/** How many rows a scenario has: so many, or as many as are there when the time is over. */
export async function rowsOf(database: string, workflow: string, wanted: number, signal: AbortSignal): Promise<number> {
  const client = new pg.Client({ connectionString: database, connectionTimeoutMillis: 5_000 });
  client.on("error", () => undefined);
  await client.connect();
  try {
    for (const endMs = Date.now() + WITHIN_MS; ; await sleep(LOOK_EVERY_MS, undefined, { signal })) {
      const [found] = z.array(z.object({ rows: z.number() })).parse((await client.query(COUNT, [workflow])).rows);
      if (Date.now() > endMs || found?.rows === wanted) return found?.rows ?? 0;
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The host that answered: as the answer said it, or the ledger where a host was found only after the headers had left. */
export function hostOf({ host, requestId }: Pick<Seen, "host" | "requestId">, entries: Entries): string | null {
  return host ?? entries.get(requestId ?? "")?.host ?? null;
}
