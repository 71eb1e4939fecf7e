/** Tables as CSV (RFC 4180), safe to open in a spreadsheet. Pure. */

/** Null is an empty cell. */
export type Cell = string | number | null;

/**
 * What a spreadsheet may take for a formula, by OWASP's list, and gets an apostrophe before it: callers choose some of the
 * names that stand in tables. The last four are wide forms, which some locales read alike. Apostrophes that stand there
 * already count too, so that what is read back without its first one is the text again.
 */
const FORMULA = /^'*[=+\-@\t\r\n＝＋－＠]/u;

/** A header and its rows, each line ended by CRLF. */
export function csvOf(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [columns, ...rows].map((row) => `${row.map(cellOf).join(",")}\r\n`).join("");
}

/** What needs no quotes under any reading: in some locales a semicolon separates, and so does a tab. */
const PLAIN = /^[\w.:/|-]*$/;

function cellOf(value: Cell): string {
  if (value === null) return "";
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value);
  return PLAIN.test(text) ? text : `"${text.replaceAll('"', '""')}"`;
}
