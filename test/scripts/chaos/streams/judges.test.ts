// What the streams' suite asks of what it saw: each goal met, and each one missed.
import { expect, test } from "vitest";
import type { Finding } from "#scripts/chaos/finding.ts";
import { expectedText } from "#scripts/chaos/streams/expected.ts";
import { judgeDeaths } from "#scripts/chaos/streams/judge-deaths.ts";
import { judgeHeld } from "#scripts/chaos/streams/judge-held.ts";
import { judgeLeaving, type Left } from "#scripts/chaos/streams/judge-leaving.ts";
import { judgeReaders } from "#scripts/chaos/streams/judge-readers.ts";
import type { Witnessed } from "#scripts/chaos/streams/witness.ts";

const missed = (findings: readonly Finding[]): string[] =>
  findings.filter(({ holds }) => holds === false).map(({ what }) => what.trim());

const RAW = { dones: 1, errors: 0, codes: [], unparsable: [], comments: [], contentAtMs: [0, 100, 200] };

function witnessed(more: Partial<Witnessed> = {}): Witnessed {
  const asked = { number: 1, model: "twins", content: "hi [[tokens=4]]", maxTokens: 50, stop: [] };
  const client = {
    end: "read",
    text: expectedText(asked),
    finishReason: "stop",
    completionTokens: 4,
    code: null,
  } as const;
  return { asked, askedAtMs: 0, requestId: "r", status: 200, client, raw: RAW, isLost: false, ...more };
}
const failed = (model: string): Witnessed => {
  const one = witnessed();
  return {
    ...one,
    asked: { ...one.asked, model },
    client: { ...one.client, end: "threw", finishReason: null, code: "upstream_error" },
    raw: { ...RAW, dones: 0, errors: 1, codes: ["upstream_error"] },
  };
};
/** Of "a b c d", at most three words were to be said. */
const boundAt = (text: string): Witnessed => {
  const { client, ...one } = seam(200);
  const asked = { ...one.asked, content: "[[echo]] a b c d", maxTokens: 3, stop: ["never said"] };
  return { ...one, asked, client: { ...client, text, finishReason: "length" } };
};
const strike = (kind: string) => ({ requestId: "r", kind, atMs: 0, closedAtMs: 1 });
const seam = (gapMs: number): Witnessed =>
  witnessed({ raw: { ...RAW, comments: [{ text: "continued by b", after: 1 }], contentAtMs: [0, gapMs] } });
/** Nothing struck it, and its first content came then. */
const undisturbed = (firstMs: number): Witnessed =>
  witnessed({ requestId: `undisturbed ${firstMs}`, raw: { ...RAW, contentAtMs: [firstMs, firstMs + 9_000] } });

const TOO_LATE = "gap at the seam, p99, beside such a first token";

test.each([
  { name: "whole", one: witnessed({ raw: { ...RAW, contentAtMs: [210, 220] } }), kinds: [], misses: [] },
  { name: "carried on in time", one: seam(450), kinds: ["cut-after"], misses: [] },
  { name: "carried on too late", one: seam(451), kinds: ["cut-after"], misses: [TOO_LATE] },
  { name: "a stall can be known of later", one: seam(1_450), kinds: ["hang-after"], misses: [] },
  { name: "a stall is noticed too late", one: seam(1_451), kinds: ["hang-after"], misses: [TOO_LATE] },
  { name: "beside a twin that was struck as well", one: seam(9_000), kinds: ["cut-after", "slow-drip"], misses: [] },
  {
    name: "a pause elsewhere is no gap at the seam",
    one: witnessed({
      raw: { ...RAW, comments: [{ text: "continued by b", after: 2 }], contentAtMs: [0, 5_000, 5_100] },
    }),
    kinds: ["cut-after"],
    misses: [],
  },
  { name: "alone, one error", one: failed("alone"), kinds: ["cut-after"], misses: [] },
  {
    name: "twins, an error",
    one: failed("twins"),
    kinds: ["cut-after"],
    misses: ["with twins: failed streams (one death)"],
  },
  { name: "twins, an error of the second death", one: failed("twins"), kinds: ["cut-after", "500"], misses: [] },
  {
    name: "another text",
    one: { ...seam(200), client: { ...witnessed().client, text: "other" } },
    kinds: ["cut-after"],
    misses: ["whole answers that differ from the unbroken one"],
  },
  {
    name: "a token short of its bound, beside stop strings",
    one: boundAt("a b"),
    kinds: ["cut-after"],
    misses: ["whole answers that differ from the unbroken one"],
  },
  {
    name: "truncated, alone",
    one: { ...failed("alone"), raw: { ...RAW, dones: 0 } },
    kinds: ["cut-after"],
    misses: ["silent truncations", "of one host alone: neither whole nor one error"],
  },
])("deaths: $name", ({ one, kinds, misses }) => {
  const findings = judgeDeaths({
    // A seam in time is always there, so that its figure is; and two first tokens, the slower one of 300 ms.
    witnessed: [one, { ...seam(250), requestId: "other" }, undisturbed(200), undisturbed(300)],
    strikes: [...kinds.map(strike), { ...strike("cut-after"), requestId: "other" }],
    twins: "twins",
    deadly: new Set(["cut-after", "hang-after", "500"]),
    ttftMs: 200,
    betweenTokensMs: 1_000,
    rows: 4,
  });
  expect(missed(findings)).toEqual(misses);
});

const left = (more: Partial<Left> = {}): Left => ({
  way: "flowing",
  requestId: "r",
  leftAtMs: 1_000,
  status: 200,
  ...more,
});
const LEAVINGS = {
  left: [left(), left({ way: "silent", requestId: "s" })],
  generations: [{ requestId: "r", ended: "aborted", endedAtMs: 1_100 }],
  strikes: [{ requestId: "s", kind: "hang-after", atMs: 0, closedAtMs: 3_200 }],
  open: 0,
  rows: 2,
};

test.each([
  { name: "all is well", more: {}, misses: [] },
  { name: "a connection is open", more: { open: 1 }, misses: ["connections to hosts 5 s later"] },
  { name: "a row is missing", more: { rows: 1 }, misses: ["rows in the ledger"] },
  {
    name: "the host worked on",
    more: { generations: [{ requestId: "r", ended: "aborted", endedAtMs: 1_301 }] },
    misses: ["while tokens flow, the host is left, p99"],
  },
  {
    name: "silence was not noticed",
    more: { strikes: [{ requestId: "s", kind: "hang-after", atMs: 0, closedAtMs: 3_301 }] },
    misses: ["while it is silent, the host is left, p99"],
  },
  {
    name: "an answer was over before",
    more: { left: [...LEAVINGS.left, left({ way: "line", requestId: null, leftAtMs: null })], rows: 3 },
    misses: ["answers that were over before their caller left"],
  },
])("leaving: $name", ({ more, misses }) => {
  expect(missed(judgeLeaving({ ...LEAVINGS, ...more }))).toEqual(misses);
});

const weight = (residentBytes: number | null, heapBytes: number | null = residentBytes) => ({
  residentBytes,
  heapBytes,
});
const WEIGHTS = { before: weight(100e6), early: weight(100.49e6), late: weight(100.5e6), after: weight(100e6) };
const HEAVY = "resident memory for each more, garbage being collected";
const GROWING = "growth of heap and buffers while they flow, for each";
const HELD = {
  streams: 3,
  fewer: 1,
  answers: [1, 2, 3].map(() => ({ isWhole: true, events: 3, text: "abc" })),
  expected: "abc",
  tokens: 3,
  weights: WEIGHTS,
  lateMs: 1,
};

test.each([
  { name: "all is well", more: {}, misses: [] },
  { name: "heavy late", more: { weights: { ...WEIGHTS, late: weight(100.500_002e6) } }, misses: [HEAVY] },
  { name: "heavy early", more: { weights: { ...WEIGHTS, early: weight(101e6) } }, misses: [HEAVY] },
  {
    name: "growing",
    more: { weights: { ...WEIGHTS, late: weight(100.5e6, 100.540_002e6) } },
    misses: [GROWING],
  },
  {
    name: "resident memory that grows, and nothing that is held",
    more: { weights: { ...WEIGHTS, early: weight(100.2e6, 100.5e6) } },
    misses: [],
  },
  { name: "not weighed", more: { weights: { ...WEIGHTS, late: weight(null) } }, misses: [HEAVY, GROWING] },
  { name: "V8 was not asked", more: { weights: { ...WEIGHTS, late: weight(100.5e6, null) } }, misses: [GROWING] },
  {
    name: "an event too few",
    more: { answers: [...HELD.answers.slice(1), { isWhole: true, events: 2, text: "abc" }] },
    misses: ["events lost or doubled"],
  },
  {
    name: "cut",
    more: { answers: [...HELD.answers.slice(1), { isWhole: false, events: 3, text: "ab" }] },
    misses: ["streams that did not come to their end", "texts that differ"],
  },
])("held: $name", ({ more, misses }) => {
  expect(missed(judgeHeld({ ...HELD, ...more }))).toEqual(misses);
});

const LONG = 200 * 1_024 * 1_024;
const READERS = { taken: [{ ofBytes: LONG, bytes: 9e6 }], read: [4_096], open: 1, each: weight(9e9, 65_536) };
const MUCH_HELD = "held for each, once garbage is collected: heap and buffers";

test.each([
  { name: "all is well", more: {}, misses: [] },
  { name: "heavy", more: { each: weight(0, 65_537) }, misses: [MUCH_HELD] },
  { name: "V8 was not asked", more: { each: weight(0, null) }, misses: [MUCH_HELD] },
  { name: "one is gone", more: { open: 0 }, misses: ["readers that are still served"] },
  {
    name: "the host was not slowed",
    more: { taken: [{ ofBytes: LONG, bytes: LONG }] },
    misses: ["a very long answer slows its host: taken of it"],
  },
])("readers: $name", ({ more, misses }) => {
  expect(missed(judgeReaders({ ...READERS, ...more }, weight(0)))).toEqual(misses);
});
