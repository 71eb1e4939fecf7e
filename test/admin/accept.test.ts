import { expect, test } from "vitest";
import { prefersCsv } from "#src/admin/accept.ts";

test.each<{ accept: string | null; csv: boolean }>([
  { accept: null, csv: false },
  { accept: "", csv: false },
  { accept: "*/*", csv: false },
  { accept: "application/json", csv: false },
  { accept: "text/csv", csv: true },
  { accept: "TEXT/CSV; Charset=UTF-8", csv: true },
  { accept: "text/*", csv: true },
  { accept: "text/csv, application/json", csv: false },
  { accept: "application/json, text/csv", csv: false },
  { accept: "text/csv, */*", csv: true },
  { accept: "text/csv;q=0.9, */*;q=0.8", csv: true },
  { accept: "text/csv;q=0.5, */*", csv: false },
  { accept: "text/csv;q=0.5, application/json;q=0.4", csv: true },
  { accept: "application/json;q=0.999, text/csv;q=1.000", csv: true },
  { accept: "text/csv;q=0.5, application/json;q=0.6", csv: false },
  { accept: "text/csv;q=0", csv: false },
  { accept: "text/csv;q=0, text/*", csv: false },
  { accept: "text/*;q=0.5, application/*;q=0.5", csv: false },
  { accept: "text/csv;header=present, application/json;q=0.1", csv: true },
  { accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", csv: false },
  { accept: "image/png", csv: false },
  { accept: "text/csv;q=2", csv: false },
  { accept: "text/csv;q=banana", csv: false },
  { accept: "text/csv;q=", csv: false },
  { accept: "text/csv;q=0.1234", csv: false },
  { accept: "csv", csv: false },
  { accept: "text/csv/x", csv: false },
  { accept: ",,;;q=1,/", csv: false },
  { accept: ` ${",".repeat(5_000)} text/csv`, csv: true },
])("$accept: $csv", ({ accept, csv }) => {
  expect(prefersCsv(accept)).toBe(csv);
});
