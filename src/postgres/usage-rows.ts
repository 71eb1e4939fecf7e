/**
 * Reading what was used: the sums of a range, grouped, a page at a time, and their total. One statement, so that the
 * total is that of the very rows it is grouped into, whatever is written meanwhile.
 */
import { z } from "zod";
import type { Session } from "./session.ts";
import { transact } from "./transaction.ts";
import type { UsageSources } from "./usage-sources.ts";

/** What usage can be grouped by, each with its column. A caller's text never becomes SQL: it picks of these. */
const COLUMNS = {
  day: "day",
  account: "account",
  user: "user_id",
  tenant: "tenant",
  key: "key_id",
  model: "model",
  host: "host",
} as const;
export type UsageGroup = keyof typeof COLUMNS;
export const USAGE_GROUPS = Object.keys(COLUMNS) as readonly UsageGroup[];

/** Each one that is not null has to fit exactly. */
export type UsageFilter = { readonly [group in Exclude<UsageGroup, "day">]: string | null };

// Sums of bigint columns arrive as text. They are far from 2^53, from where on a JSON number is no longer exact.
const sum = z.coerce.number();
const storedSums = z.object({
  requests: sum,
  errors: sum,
  cached_requests: sum,
  estimated_requests: sum,
  unpriced_requests: sum,
  prompt_tokens: sum,
  completion_tokens: sum,
  cached_tokens: sum,
  saved_tokens: sum,
  cost_micros: sum,
});
const SUMS = Object.keys(storedSums.shape);

const sums = storedSums.transform(({ cost_micros, ...counts }) => ({
  ...counts,
  total_tokens: counts.prompt_tokens + counts.completion_tokens,
  /** Micro-dollars of the requests that have a price; null where none has, because what is unknown is not 0. */
  cost_micros: counts.requests > counts.unpriced_requests ? cost_micros : null,
}));
export type UsageSums = z.infer<typeof sums>;

/** What the rows are grouped by, in the order asked for; a day as `YYYY-MM-DD`. Null stands for "none". */
export type UsageLabels = { readonly [group in UsageGroup]?: string | null };

export type UsageQuestion = {
  readonly sources: UsageSources;
  readonly filter: UsageFilter;
  /** At least one, each once; rows are in this order too. */
  readonly groupBy: readonly UsageGroup[];
  /** Where the page before ended: its last row's labels, `""` for none. */
  readonly after: readonly string[] | null;
  readonly limit: number;
};

/** Every group but the day, which is a range's matter. */
const FILTERS = USAGE_GROUPS.filter((group) => group !== "day");
const KEYS = FILTERS.map((group) => COLUMNS[group]);

const part = (table: string, day: string, time: string, from: string, to: string): string => `
  SELECT ${day} AS day, ${KEYS.join(", ")}, ${SUMS.join(", ")} FROM ${table} WHERE ${time} >= ${from} AND ${time} < ${to}`;

const moment = (parameter: string): string => `to_timestamp(${parameter}::double precision / 1000)`;
const minutes = (from: string, to: string): string =>
  part("usage_minute", "(minute AT TIME ZONE 'UTC')::date", "minute", moment(from), moment(to));
const dayOf = (parameter: string): string => `(${moment(parameter)} AT TIME ZONE 'UTC')::date`;
const days = (from: string, to: string): string => part("usage_day", "day", "day", dayOf(from), dayOf(to));

const FIRST_FILTER = 7;
const LIMIT = FIRST_FILTER + FILTERS.length;

/**
 * Planned with its parameters in hand, so that a filter that is null costs nothing and the rest finds its index. The rows
 * are grouped before they are totalled: grouping sets alone would sort them all, which takes twice as long. Hyperdrive keeps
 * answers for a minute, but none of a statement that asks for now().
 */
function statementOf(groupBy: readonly UsageGroup[], isPageOn: boolean): string {
  const labels = groupBy.map((group) => `"${group}"`).join(", ");
  const position = groupBy.map((_, at) => `$${LIMIT + 1 + at}::text`).join(", ");
  return `
    WITH grouped AS MATERIALIZED (
      SELECT ${groupBy.map(labelOf).join(", ")}, ${SUMS.map((name) => `sum(u.${name}) AS ${name}`).join(", ")}
      FROM (${minutes("$1", "$2")} UNION ALL ${minutes("$3", "$4")} UNION ALL ${days("$5", "$6")}) AS u
      WHERE ${FILTERS.map(filterOf).join(" AND ")}
      GROUP BY ${groupBy.map((group) => `u.${COLUMNS[group]}`).join(", ")}
    )
    SELECT
      GROUPING(${labels}) <> 0 AS is_total, now() AS read_at, ${labels},
      ${SUMS.map((name) => `coalesce(sum(${name}), 0) AS ${name}`).join(", ")}
    FROM grouped
    GROUP BY GROUPING SETS ((), (${labels}))
    ${isPageOn ? `HAVING GROUPING(${labels}) <> 0 OR (${labels}) > (${position})` : ""}
    ORDER BY is_total DESC, ${labels}
    LIMIT $${LIMIT}`;
}

const labelOf = (group: UsageGroup): string =>
  `${group === "day" ? "to_char(u.day, 'YYYY-MM-DD')" : `u.${COLUMNS[group]}`} AS "${group}"`;

/** Long names are kept short in the sums (migration 0005). */
function filterOf(group: keyof UsageFilter, at: number): string {
  const parameter = `$${FIRST_FILTER + at}`;
  return `(${parameter}::text IS NULL OR u.${COLUMNS[group]} = ledger_name(${parameter}))`;
}

/** The rows of a page, in order, and the total of all pages. */
export async function readUsage(
  session: Session,
  { sources, filter, groupBy, after, limit }: UsageQuestion,
): Promise<{ rows: { labels: UsageLabels; sums: UsageSums }[]; total: UsageSums }> {
  const spans = [...sources.minutes, sources.days].flatMap(({ fromMs, toMs }) => [fromMs, toMs]);
  const filters = FILTERS.map((group) => filter[group]);
  // The total is a row too, and comes first.
  const values = [...spans, ...filters, limit + 1, ...(after ?? [])];
  const statement = { text: statementOf(groupBy, after !== null), values };
  const [found] = await transact(session, "causeway_reader", [statement]);
  const [total, ...rows] = found?.rows ?? [];
  const label = z.string().transform((text) => (text === "" ? null : text));
  const labels = z.object(Object.fromEntries(groupBy.map((group) => [group, label])));
  return {
    rows: rows.map((row) => ({ labels: labels.parse(row), sums: sums.parse(row) })),
    total: sums.parse(total),
  };
}
