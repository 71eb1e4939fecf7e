/** Rows of text as a table for a person: columns under their headings. Pure. */

/** One line per row, below the headings. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [headings, ...rows];
  const widths = headings.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** ISO 8601 in UTC, to the minute. */
export function minute(date: string): string {
  return `${date.slice(0, 16)}Z`;
}
