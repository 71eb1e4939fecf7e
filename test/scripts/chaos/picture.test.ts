// The picture: what is in it, that it is one, and that odd names do no harm.
import { expect, test } from "vitest";
import { pictureOf } from "#scripts/chaos/picture.ts";
import type { Played } from "#scripts/chaos/scenario.ts";
import { seriesOf } from "#scripts/chaos/series.ts";
import { ticks } from "#scripts/picture/svg.ts";
import { failed, refused, seen, times } from "./seen.ts";

const played: Played = {
  setting: "three hosts",
  findings: [],
  seen: [
    ...times(10, (at) => seen({ sentAtMs: at * 500, host: at % 2 === 0 ? "a" : "b", firstTokenAfterMs: 100 + at })),
    ...times(4, () => refused({ sentAtMs: 1_500 })),
    failed({ sentAtMs: 4_500, requestId: "cut" }),
  ],
  entries: new Map([["cut", { id: "cut", host: "c", outcome: "upstream_error", attempts: 1, queueWaitMs: 40 }]]),
  marks: [{ atMs: 2_000, what: `<killed> & "gone"` }],
};

test("a second's answers, refusals, failures and waits stand in their second", () => {
  const { hosts, refusedPerSecond, failedPerSecond, beginsP99Ms, queueWaitP99Ms } = seriesOf(played);
  expect(hosts).toEqual([
    { name: "a", perSecond: [1, 1, 1, 1, 1, 0] },
    { name: "b", perSecond: [1, 1, 1, 1, 1, 0] },
  ]);
  expect(refusedPerSecond).toEqual([0, 4, 0, 0, 0, 0]);
  expect(failedPerSecond).toEqual([0, 0, 0, 0, 1, 0]);
  expect(beginsP99Ms).toEqual([101, 103, 105, 107, 109, null]);
  expect(queueWaitP99Ms).toEqual([null, null, null, null, 40, null]);
});

test("one well-formed drawing with hosts, axes and what was done", () => {
  const picture = pictureOf([
    { name: "kill", played },
    { name: "flap", played: { ...played, seen: [] } },
  ]);
  const open: string[] = [];
  for (const [, slash, name = "", rest = ""] of picture.matchAll(/<(\/?)([a-z]+)([^<>]*)>/g)) {
    if (slash === "/") expect(open.pop()).toBe(name);
    else if (!rest.endsWith("/")) open.push(name);
  }
  expect(open).toEqual([]);
  for (const word of [">a<", ">b<", ">refused<", ">failed<", ">per second<", ">seconds<", ">ms<", ">kill<"])
    expect(picture).toContain(word);
  expect(picture).toContain("&lt;killed> &amp; &quot;gone&quot;");
  expect(picture).not.toMatch(/NaN|undefined|Infinity/);
  // What nobody was asked in has nothing to show.
  expect(picture).not.toContain(">flap<");
});

test.each([
  { most: 1, are: [0, 0.2, 0.4, 0.6, 0.8, 1] },
  { most: 7.3, are: [0, 2, 4, 6, 8] },
  { most: 1_234, are: [0, 500, 1_000, 1_500] },
])("round numbers up to $most", ({ most, are }) => {
  const found = ticks(most);
  expect(found).toHaveLength(are.length);
  for (const [at, value] of found.entries()) expect(value).toBeCloseTo(are[at] ?? Number.NaN, 9);
});
