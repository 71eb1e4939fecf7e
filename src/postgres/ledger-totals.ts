/** What the ledger holds of a day or a span, for holding it against what accounts and engines counted themselves. */
import { z } from "zod";
import { at } from "./milliseconds.ts";
import type { Session } from "./session.ts";

export type LedgerTotals = {
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
};

const totals = {
  requests: z.number(),
  promptTokens: z.number(),
  completionTokens: z.number(),
};

const BY_ACCOUNT = `
  SELECT
    account, count(*)::integer AS requests, sum(prompt_tokens)::double precision AS "promptTokens",
    sum(completion_tokens)::double precision AS "completionTokens"
  FROM inference_logs
  WHERE "timestamp" >= ${at("$1")} AND "timestamp" < ${at("$2")} AND admitted_by = 'account'
  GROUP BY account
  ORDER BY account`;

/** Of requests that arrived in a span and that their accounts know of: by account. */
export async function readTotalsByAccount(
  session: Session,
  startMs: number,
  endMs: number,
): Promise<ReadonlyMap<string, LedgerTotals>> {
  const { rows } = await session.query(BY_ACCOUNT, [startMs, endMs]);
  const parsed = z.array(z.object({ account: z.string(), ...totals })).parse(rows);
  return new Map(parsed.map(({ account, ...total }) => [account, total]));
}

const LATELY = `
  SELECT account FROM usage_minute
  WHERE minute >= ${at("$1")} AND minute < ${at("$2")}
    AND account !~ '^.{90}#[0-9a-f]{32}$'
  GROUP BY account
  ORDER BY max(minute) DESC, account`;

/** Accounts that sent anything in a span, the latest first; but for those whose names the sums hold cut off. */
export async function readActiveAccounts(session: Session, startMs: number, endMs: number): Promise<string[]> {
  const { rows } = await session.query<{ account: string }>(LATELY, [startMs, endMs]);
  return rows.map(({ account }) => account);
}

const OWNERS = `SELECT DISTINCT owner FROM api_keys WHERE created_at < ${at("$1")} ORDER BY owner`;

/** Owners of API keys that were issued before a time. */
export async function readKeyOwners(session: Session, beforeMs: number): Promise<string[]> {
  const { rows } = await session.query<{ owner: string }>(OWNERS, [beforeMs]);
  return rows.map(({ owner }) => owner);
}

// A request counts where it ended, as the engine counts it; it may have arrived a while before.
const BY_HOST = `
  SELECT
    host, count(*)::integer AS requests, sum(prompt_tokens)::double precision AS "promptTokens",
    sum(completion_tokens)::double precision AS "completionTokens",
    coalesce(sum(cached_tokens), 0)::double precision AS "cachedTokens"
  FROM inference_logs
  WHERE host IS NOT NULL
    AND "timestamp" >= ${at("$1")} - interval '1 hour'
    AND "timestamp" < ${at("$2")}
    AND "timestamp" + latency_ms * interval '1 millisecond' >= ${at("$1")}
    AND "timestamp" + latency_ms * interval '1 millisecond' < ${at("$2")}
    AND host = $3
  GROUP BY host`;

export type HostTotals = LedgerTotals & {
  /** Of the prompts' tokens, those that engines said they had in their prefix cache. */
  readonly cachedTokens: number;
};
const NOTHING: HostTotals = { requests: 0, promptTokens: 0, completionTokens: 0, cachedTokens: 0 };

/** Of requests that ended on a host in a span. */
export async function readTotalsOfHost(
  session: Session,
  host: string,
  startMs: number,
  endMs: number,
): Promise<HostTotals> {
  const { rows } = await session.query(BY_HOST, [startMs, endMs, host]);
  return z.array(z.object({ ...totals, cachedTokens: z.number() })).parse(rows)[0] ?? NOTHING;
}
