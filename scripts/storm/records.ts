/** What is on record when a storm is over: the ledger's rows, the hosts' truth, the accounts' storage. Reads only. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { z } from "zod";
import { WORKFLOW_PREFIX } from "./question.ts";

const row = z.object({
  id: z.string(),
  /** The number of the question that it answers. */
  question: z.number(),
  outcome: z.string(),
  host: z.string().nullable(),
  /** Those that made a part of the answer. */
  hosts: z.array(z.string()),
  promptTokens: z.number(),
  completionTokens: z.number(),
  wastedTokens: z.number().nullable(),
  estimated: z.boolean(),
});
export type Row = z.infer<typeof row>;

const sums = z.object({
  requests: z.coerce.number(),
  promptTokens: z.coerce.number(),
  completionTokens: z.coerce.number(),
  costMicros: z.coerce.number(),
});
export type Sums = z.infer<typeof sums>;

export type Ledger = {
  readonly rows: readonly Row[];
  /** Of all rows, and of the minutes' sums. */
  readonly rowSums: Sums;
  readonly minuteSums: Sums;
  /** Ids of dead letters, one for each row. */
  readonly deadLetters: readonly string[];
};

const ROWS = `
  SELECT id, substr(workflow_id, $1)::int AS question, outcome, host, prompt_tokens AS "promptTokens",
    completion_tokens AS "completionTokens", wasted_tokens AS "wastedTokens", hosts, estimated
  FROM inference_logs WHERE workflow_id LIKE $2`;
const ROW_SUMS = `
  SELECT count(*) AS requests, coalesce(sum(prompt_tokens), 0) AS "promptTokens",
    coalesce(sum(completion_tokens), 0) AS "completionTokens",
    coalesce(sum(cost_estimate) * 1000000, 0) AS "costMicros"
  FROM inference_logs`;
const MINUTE_SUMS = `
  SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(prompt_tokens), 0) AS "promptTokens",
    coalesce(sum(completion_tokens), 0) AS "completionTokens", coalesce(sum(cost_micros), 0) AS "costMicros"
  FROM usage_minute`;

/** In one transaction, so that rows and sums are of one moment. @throws while the database does not answer */
export async function readLedger(connectionString: string): Promise<Ledger> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000, query_timeout: 10_000 });
  client.on("error", () => undefined);
  await client.connect();
  try {
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const rows = await client.query(ROWS, [WORKFLOW_PREFIX.length + 1, `${WORKFLOW_PREFIX}%`]);
    const [rowSums] = (await client.query(ROW_SUMS)).rows;
    const [minuteSums] = (await client.query(MINUTE_SUMS)).rows;
    const letters = await client.query("SELECT id FROM dead_letter");
    return {
      rows: z.array(row).parse(rows.rows),
      rowSums: sums.parse(rowSums),
      minuteSums: sums.parse(minuteSums),
      deadLetters: letters.rows.map(({ id }) => String(id)),
    };
  } finally {
    await client.end().catch(() => undefined);
  }
}

const generation = z.object({
  requestId: z.string(),
  promptTokens: z.number(),
  completionTokens: z.number(),
  ended: z.enum(["stop", "length", "aborted", "fault"]).nullable(),
});
export type Generation = z.infer<typeof generation> & { readonly host: string };

/** Every generation that began, host by host in order. */
export async function readTruth(hosts: Readonly<Record<string, string>>): Promise<Generation[]> {
  const found = await Promise.all(
    Object.entries(hosts).map(async ([host, url]) => {
      const response = await fetch(`${url}/lab/truth`);
      return z
        .array(generation)
        .parse(await response.json())
        .map((entry) => ({ ...entry, host }));
    }),
  );
  return found.flat();
}

export type Accounts = { readonly openLeases: number; readonly unacknowledged: number };

/**
 * What the Account objects keep, from the files that workerd keeps them in; it may be running.
 *
 * @param wranglerState the folder of `--persist-to`
 */
export function readAccounts(wranglerState: string): Accounts {
  const folder = join(wranglerState, "v3", "do", "causeway-Account");
  const files = existsSync(folder) ? readdirSync(folder) : [];
  let [openLeases, unacknowledged] = [0, 0];
  for (const file of files.filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name))) {
    const database = new DatabaseSync(join(folder, file), { readOnly: true });
    try {
      const found = database.prepare("SELECT count(hold) AS open, count(*) AS rows FROM outbox").get();
      openLeases += Number(found?.open);
      unacknowledged += Number(found?.rows) - Number(found?.open);
    } finally {
      database.close();
    }
  }
  return { openLeases, unacknowledged };
}
