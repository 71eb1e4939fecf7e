/** Content negotiation (RFC 9110, 12.5.1) between the two forms that a table has here. Pure. */

type Range = { readonly type: string; readonly subtype: string; readonly quality: number };

/**
 * Whether CSV is wanted rather than JSON: rated higher, or named where JSON is only not excluded. JSON is what everybody
 * else gets, also one who would take neither: an answer in the wrong form says more than 406.
 *
 * @param accept the header as it came
 */
export function prefersCsv(accept: string | null): boolean {
  const ranges = (accept ?? "").split(",").flatMap(rangeOf);
  const csv = ratingOf(ranges, "text", "csv");
  const json = ratingOf(ranges, "application", "json");
  return (
    csv.quality > json.quality || (csv.quality === json.quality && csv.quality > 0 && csv.precision > json.precision)
  );
}

/** The most precise range that a type falls under speaks for it: `text/csv` before `text/*` before the rest. */
function ratingOf(ranges: readonly Range[], type: string, subtype: string): { quality: number; precision: number } {
  const fitting = [
    ranges.filter((range) => range.type === "*" && range.subtype === "*"),
    ranges.filter((range) => range.type === type && range.subtype === "*"),
    ranges.filter((range) => range.type === type && range.subtype === subtype),
  ];
  const precision = fitting.findLastIndex((found) => found.length > 0);
  return { quality: Math.max(0, ...(fitting[precision] ?? []).map((range) => range.quality)), precision };
}

/** Nothing for what is no range, or has a weight that is none. */
function rangeOf(text: string): Range[] {
  const [name = "", ...parameters] = text.split(";").map((piece) => piece.trim().toLowerCase());
  const [type = "", subtype = "", ...rest] = name.split("/");
  const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? "1";
  if (type === "" || subtype === "" || rest.length > 0 || !/^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(weight)) return [];
  return [{ type, subtype, quality: Number(weight) }];
}
