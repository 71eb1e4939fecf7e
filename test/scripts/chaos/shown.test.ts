// What a person reads: the table at the end, the line on the way, and the catalog that was played with.
import { expect, test } from "vitest";
import { catalogOf } from "#scripts/chaos/catalog.ts";
import { fact, must } from "#scripts/chaos/finding.ts";
import { alike } from "#scripts/chaos/plan.ts";
import { progressLine } from "#scripts/chaos/progress-line.ts";
import { tableOf } from "#scripts/chaos/table.ts";
import { failed, refused, seen } from "./seen.ts";

test("each figure beside its goal, and whether it holds", () => {
  const findings = [
    fact("requests", 1_200),
    must("failed", "<= 5", 6, false),
    must("back after", "<= 35 s", "12.0 s", true),
  ];
  const played = { setting: "three hosts", findings, seen: [], entries: new Map(), marks: [] };
  expect(tableOf([{ name: "kill", played }])).toBe(
    [
      "kill: three hosts",
      "  requests             1,200",
      "  failed      <= 5     6  BROKEN",
      "  back after  <= 35 s  12.0 s  ok",
    ].join("\n"),
  );
});

test("the line on the way counts the ends, and shows the last seconds' hosts", () => {
  const gone = [seen(), seen({ sentAtMs: 9_000, host: "b" }), refused(), failed({ sentAtMs: 9_500, host: null })];
  expect(progressLine("kill", 0, 12_000, gone, 4)).toBe(
    "   12 s  kill      2 answered  1 refused  1 failed  4 in flight  b 0.2/s",
  );
});

test("a catalog that the grammar does not allow says where", () => {
  const hosts = alike(2, "host", { slots: 4, ttftMs: 1, tokensPerSecond: 1 });
  const urls = { "host-a": "http://127.0.0.1:1", "host-b": "http://127.0.0.1:2" };
  const plan = { hosts, models: [{ id: "m", on: ["host-a", "host-b"] }] };
  expect(catalogOf([plan], urls).hosts.map(({ id, slots }) => ({ id, slots }))).toEqual([
    { id: "host-a", slots: 4 },
    { id: "host-b", slots: 4 },
  ]);
  expect(() => catalogOf([{ ...plan, models: [{ id: "m", on: ["host-c"] }] }], urls)).toThrow("models.0.served.0");
});
