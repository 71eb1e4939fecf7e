/** A reader of CSV as strict as RFC 4180: quotes only around whole cells, CRLF at the end of every line, no ragged rows. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  let row: string[] = [];
  while (cell.lastIndex < text.length) {
    const from = cell.lastIndex;
    const [, quoted, plain = "", end] = cell.exec(text) ?? [];
    if (end === undefined) throw new Error(`no cell at ${from}: ${JSON.stringify(text.slice(from, from + 40))}`);
    row.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === ",") continue;
    rows.push(row);
    row = [];
  }
  if (row.length > 0) throw new Error("the last line has no end");
  if (rows.some(({ length }) => length !== rows[0]?.length)) throw new Error("lines differ in length");
  return rows;
}
