import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { LadderName } from "#scripts/bench/ladder/ladders.ts";
import { parseOptions } from "#scripts/bench/ladder/options.ts";
import { readRecorded, recordOf, writeRecorded } from "#scripts/bench/ladder/recorded.ts";

const MACHINE = { cores: 2, cpu: "a CPU", kernel: "Linux 6", disk: "ext4", node: "24", workerd: "1" };
const figure = { name: "hono", addsUs: 3.21, ratio: 1.0345, least: 1, most: 1.1 };
const measured = { bareUs: 123.456, noise: 0, waited: 0, figures: [figure] };

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "causeway-test-"));
  file = join(folder, "recorded.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("reads what was recorded", () => {
  const both = new Map<LadderName, typeof measured>([
    ["requests", measured],
    ["streams", { ...measured, bareUs: 20 }],
  ]);
  writeRecorded(recordOf(MACHINE, 7, both), file);
  expect(readRecorded(file)).toEqual({
    machine: MACHINE,
    rounds: 7,
    requests: { bareUs: 123.46, ratios: { hono: 1.03 } },
    streams: { bareUs: 20, ratios: { hono: 1.03 } },
  });
});

it("records no half ladder", () => {
  expect(() => recordOf(MACHINE, 7, new Map([["requests", measured] as const]))).toThrow("streams");
});

it.each([
  { what: "nothing", text: null },
  { what: "no JSON", text: "{" },
  { what: "half of it", text: JSON.stringify({ machine: MACHINE, rounds: 7 }) },
])("refuses to compare with $what", ({ text }) => {
  if (text !== null) writeFileSync(file, text);
  expect(() => readRecorded(file)).toThrow("--record");
});

it.each([
  { args: ["--ladder"], options: { quick: false, check: false, record: false } },
  { args: ["--ladder", "--quick", "--check"], options: { quick: true, check: true, record: false } },
  { args: ["--record", "--ladder"], options: { quick: false, check: false, record: true } },
  { args: ["--ladder", "--help"], options: null },
])("reads the flags $args", ({ args, options }) => {
  expect(parseOptions(args)).toEqual(options);
});

it.each([
  { args: ["--ladder", "--check", "--record"], says: "--check and --record" },
  { args: ["--ladder", "--fast"], says: "--fast" },
  { args: ["--ladder", "requests"], says: "requests" },
])("refuses the flags $args", ({ args, says }) => {
  expect(() => parseOptions(args)).toThrow(says);
});
