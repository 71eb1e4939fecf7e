/**
 * `GET /v1/usage`: what the caller itself has used, by account and never by name alone, because two issuers may each have
 * a user of one name. Today and yesterday (UTC) are read from `usage_minute`, which is written with the ledger's own rows,
 * and older days from `usage_day`, which a job makes of it every few minutes: so the answer is as fresh as the ledger, which
 * has a request a second or two after its answer. Costs nothing and counts against no limit.
 */
import { readUsage, type UsageLabels, type UsageSums } from "#src/postgres/usage-rows.ts";
import { usageSources } from "#src/postgres/usage-sources.ts";
import { askDatabase } from "./ask-database.ts";
import type { KnownCall } from "./call.ts";
import { encodeCursor } from "./cursor.ts";
import { ownUsageAsked, type UsageAsked } from "./usage-query.ts";

/**
 * The caller's own usage.
 *
 * @throws Problem `invalid_value` for a wrong query, `unavailable` when Postgres cannot be reached within a second
 */
export async function ownUsage(call: KnownCall): Promise<Response> {
  const asked = ownUsageAsked(call.request.url, call.principal.accountId, call.arrivedAtMs);
  return Response.json(await usagePage(call, asked));
}

export type UsagePage = {
  readonly object: "list";
  /** The range that the answer is of; `to` is not in it. */
  readonly from: string;
  readonly to: string;
  readonly group_by: UsageAsked["groupBy"];
  readonly data: readonly (UsageLabels & UsageSums)[];
  /** Of all pages. */
  readonly totals: UsageSums;
  /** The next page's cursor; null when there is none. */
  readonly next: string | null;
};

/**
 * A page of usage.
 *
 * @param bounds how long Postgres may take, where it is more than for everything else
 * @throws Problem `unavailable`
 */
export async function usagePage(
  call: KnownCall,
  { range, limit, ...asked }: UsageAsked,
  bounds: { readonly withinMs?: number } = {},
): Promise<UsagePage> {
  const sources = usageSources(range, call.arrivedAtMs);
  // One more than asked for tells whether there is a next page.
  const question = { ...asked, sources, limit: limit + 1 };
  const { rows, total } = await askDatabase(call, (session) => readUsage(session, question), bounds);
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return {
    object: "list",
    from: new Date(range.fromMs).toJSON(),
    to: new Date(range.toMs).toJSON(),
    group_by: asked.groupBy,
    data: shown.map(({ labels, sums }) => ({ ...labels, ...sums })),
    totals: total,
    next: last === undefined ? null : encodeCursor(asked.groupBy.map((group) => last.labels[group] ?? "")),
  };
}
