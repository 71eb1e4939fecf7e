import { expect, it } from "vitest";
import { minute, table } from "#scripts/gateway/table.ts";

it("columns are as wide as their widest cell, and lines end with their text", () => {
  const rows = [
    ["a", "long cell", ""],
    ["bb", "", "x"],
  ];
  expect(table(["ID", "B", "C"], rows)).toBe("ID  B          C\na   long cell\nbb             x");
});

it("without rows there are the headings", () => {
  expect(table(["ID", "B"], [])).toBe("ID  B");
});

it("times are to the minute", () => {
  expect(minute("2026-11-21T08:05:59.123Z")).toBe("2026-11-21T08:05Z");
});
