/**
 * What may be asked of the two usage routes, checked to the last parameter. Pure.
 *
 * `from` is in the range and `to` is not, as everywhere here; a date is its first moment, UTC. Usage is kept by the
 * minute, so times are widened to whole minutes; the answer says which range it is of.
 */
import { z } from "zod";
import { USAGE_GROUPS, type UsageFilter, type UsageGroup } from "#src/postgres/usage-rows.ts";
import { type Span, startOfDay } from "#src/postgres/usage-sources.ts";
import { decodeCursor } from "./cursor.ts";
import { limitField, nameField, queryOf, wrongField } from "./fields.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 30;
/** Aggregates are kept for a year. */
const MAX_DAYS = 366;
const DEFAULT_PAGE = 100;
const MAX_PAGE = 1_000;

const date = z.iso.date();
/** Within years that every clock and format on the way agrees on. */
const moment = z
  .union([date, z.iso.datetime({ offset: true })], {
    error: "a date or a time, such as 2026-11-21 or 2026-11-21T08:00:00Z; write + as %2B",
  })
  .refine((text) => text.startsWith("2"), "a year from 2000 to 2999")
  .transform((text) => Date.parse(text));

/** A list such as `day,model`. */
function groupsField<G extends UsageGroup>(groups: readonly G[], standard: readonly G[]) {
  const names = z.array(z.enum(groups)).refine((named) => new Set(named).size === named.length);
  return z
    .string()
    .default(standard.join())
    .transform((text, context): readonly UsageGroup[] => {
      const parsed = names.safeParse(text.split(","));
      if (parsed.success) return parsed.data;
      context.addIssue(`one or several of ${groups.join(", ")}, each once, with commas between`);
      return z.NEVER;
    });
}

const label = z.string().refine((text) => text.isWellFormed() && !text.includes("\0"));
/** The labels of the last row of the page before, `""` for none. Whether they fit the grouping is seen later. */
const cursor = z.string().transform((text) => z.array(label).safeParse(decodeCursor(text)).data ?? []);

const paging = {
  from: moment.optional(),
  to: moment.optional(),
  cursor: cursor.optional(),
  limit: limitField(DEFAULT_PAGE, MAX_PAGE),
};
const OWN = ["day", "model", "key"] as const;
const ownQuery = z.strictObject({ ...paging, group_by: groupsField(OWN, OWN) });

const filter = nameField.nullable().default(null);
const everybodysQuery = z.strictObject({
  ...paging,
  // Two issuers may each have a user of one name; their accounts differ.
  group_by: groupsField(USAGE_GROUPS, ["day", "account", "model", "key"]),
  account: filter,
  user: filter,
  tenant: filter,
  key: filter,
  model: filter,
  host: filter,
});

export type UsageAsked = {
  readonly range: Span;
  readonly groupBy: readonly UsageGroup[];
  readonly filter: UsageFilter;
  readonly after: readonly string[] | null;
  readonly limit: number;
};

/**
 * The query of `GET /v1/usage`: one account's usage, whatever else is asked.
 *
 * @throws Problem `invalid_value` naming the parameter
 */
export function ownUsageAsked(url: string, account: string, nowMs: number): UsageAsked {
  const { group_by, ...asked } = queryOf(ownQuery, url);
  const others = { user: null, tenant: null, key: null, model: null, host: null };
  return checked({ ...asked, groupBy: group_by, filter: { ...others, account } }, nowMs);
}

/**
 * The query of `GET /admin/usage`.
 *
 * @throws Problem `invalid_value` naming the parameter
 */
export function everybodysUsageAsked(url: string, nowMs: number): UsageAsked {
  const { from, to, cursor, limit, group_by, ...filter } = queryOf(everybodysQuery, url);
  return checked({ from, to, cursor, limit, groupBy: group_by, filter }, nowMs);
}

type Parsed = Pick<UsageAsked, "groupBy" | "filter" | "limit"> & {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly cursor?: readonly string[] | undefined;
};

function checked({ from, to, cursor, ...asked }: Parsed, nowMs: number): UsageAsked {
  const toMs = Math.ceil((to ?? startOfDay(nowMs) + DAY_MS) / MINUTE_MS) * MINUTE_MS;
  const fromMs = Math.floor((from ?? startOfDay(toMs - 1) + DAY_MS - DEFAULT_DAYS * DAY_MS) / MINUTE_MS) * MINUTE_MS;
  if (fromMs >= toMs) throw wrongField("from", "the range ends before it begins; `to` is not in it");
  if (toMs - fromMs > MAX_DAYS * DAY_MS) throw wrongField("from", `a range of ${MAX_DAYS} days at most`);
  if (cursor !== undefined && !isPosition(cursor, asked.groupBy))
    throw wrongField("cursor", "what `next` said of the page before, with the same group_by");
  return { ...asked, range: { fromMs, toMs }, after: cursor ?? null };
}

function isPosition(labels: readonly string[], groupBy: readonly UsageGroup[]): boolean {
  if (labels.length !== groupBy.length) return false;
  return labels.every((text, at) => groupBy[at] !== "day" || date.safeParse(text).success);
}
