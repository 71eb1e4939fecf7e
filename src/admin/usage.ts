/**
 * `GET /admin/usage`: what everybody has used, as JSON in pages or as CSV. CSV has no place to say that it goes on, so it
 * comes whole or not at all; totals are only in JSON, because a column's sum is the spreadsheet's own matter.
 */
import type { KnownCall } from "#src/ingress/call.ts";
import { wrongField } from "#src/ingress/fields.ts";
import { usagePage } from "#src/ingress/usage.ts";
import { everybodysUsageAsked } from "#src/ingress/usage-query.ts";
import { prefersCsv } from "./accept.ts";
import { csvOf } from "./csv.ts";

/** What one answer holds and Postgres sums within its time: about 2 MB. */
const MAX_CSV_ROWS = 10_000;
/** Two busy days of everybody's minutes: 330,000 rows took half a second on two busy cores. */
const SUMMED = { withinMs: 5_000 };

/**
 * Usage of all accounts.
 *
 * @throws Problem `invalid_value` for a wrong query or too large a table, `unavailable` when Postgres cannot be reached
 *   within a second or takes too long
 */
export async function everybodysUsage(call: KnownCall): Promise<Response> {
  const { url, headers } = call.request;
  const asked = everybodysUsageAsked(url, call.arrivedAtMs);
  if (!prefersCsv(headers.get("accept"))) return Response.json(await usagePage(call, asked, SUMMED));

  for (const name of ["cursor", "limit"])
    if (new URL(url).searchParams.has(name)) throw wrongField(name, "CSV comes whole, without pages");
  const { data, totals, group_by, next } = await usagePage(call, { ...asked, limit: MAX_CSV_ROWS }, SUMMED);
  if (next !== null)
    throw wrongField("group_by", `more than ${MAX_CSV_ROWS} rows; group by less, or narrow the range or the filters`);
  const names = [...group_by, ...(Object.keys(totals) as (keyof typeof totals)[])];
  const text = csvOf(
    names,
    data.map((row) => names.map((name) => row[name] ?? null)),
  );
  const named = {
    "content-type": "text/csv; charset=utf-8",
    "content-disposition": 'attachment; filename="usage.csv"',
  };
  return new Response(text, { headers: named });
}
