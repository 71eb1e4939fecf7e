import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Cell, csvOf } from "#src/admin/csv.ts";
import { parseCsv } from "#test/support/csv.ts";

describe("a cell", () => {
  test.each<{ name: string; value: Cell; text: string }>([
    { name: "a number", value: 42, text: "42" },
    { name: "nothing", value: null, text: "" },
    { name: "empty text", value: "", text: "" },
    { name: "a name", value: "meta/llama-3.1_8b:x|y", text: "meta/llama-3.1_8b:x|y" },
    { name: "a comma", value: "a,b", text: '"a,b"' },
    { name: "a semicolon, which some locales separate by", value: "a;=1", text: '"a;=1"' },
    { name: "a quote", value: 'a"b', text: '"a""b"' },
    { name: "lines", value: "a\r\nb", text: '"a\r\nb"' },
    { name: "spaces around", value: " a ", text: '" a "' },
    { name: "letters of others", value: "ñ🚇", text: '"ñ🚇"' },
    { name: "a formula", value: "=1+1", text: '"\'=1+1"' },
    { name: "a call", value: '=HYPERLINK("http://x","y")', text: '"\'=HYPERLINK(""http://x"",""y"")"' },
    { name: "plus", value: "+1", text: '"\'+1"' },
    { name: "minus", value: "-1", text: '"\'-1"' },
    { name: "at", value: "@SUM(A1)", text: '"\'@SUM(A1)"' },
    { name: "tab", value: "\t=1", text: '"\'\t=1"' },
    { name: "carriage return", value: "\r=1", text: '"\'\r=1"' },
    { name: "line feed", value: "\n=1", text: '"\'\n=1"' },
    { name: "a wide equals sign", value: "＝1", text: '"\'＝1"' },
    { name: "a formula that was made harmless before", value: "'=1", text: "\"''=1\"" },
    { name: "an apostrophe", value: "'t", text: '"\'t"' },
    { name: "such characters later on", value: "a=1", text: '"a=1"' },
  ])("$name", ({ value, text }) => {
    expect(csvOf(["c"], [[value]])).toBe(`c\r\n${text}\r\n`);
  });
});

test("a header alone", () => {
  expect(csvOf(["day", "requests"], [])).toBe("day,requests\r\n");
});

test("whatever the text, a reader gets it back, and no cell begins a formula", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.string({ unit: fc.constantFrom(..."=+-@\t\r\n\",;'a") }),
  );
  const table = fc.integer({ min: 1, max: 4 }).chain((width) => {
    const row = fc.array(text, { minLength: width, maxLength: width });
    return fc.tuple(row, fc.array(row, { maxLength: 4 }));
  });
  fc.assert(
    fc.property(table, ([columns, rows]) => {
      const found = parseCsv(csvOf(columns, rows));
      const cells = found.flat();
      expect(cells.filter((cell) => /^[=+\-@\t\r\n]/.test(cell))).toEqual([]);
      expect(cells.map((cell) => cell.replace(/^'(?='*[=+\-@\t\r\n＝＋－＠])/, ""))).toEqual([columns, ...rows].flat());
      expect(found).toHaveLength(rows.length + 1);
    }),
    { numRuns: 100 },
  );
});
