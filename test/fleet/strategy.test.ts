import { describe, expect, test } from "vitest";
import type { Model } from "#src/catalog/schema.ts";
import { type Box, sharesOf, weighed } from "./boxes.ts";

type Row = {
  readonly name: string;
  readonly boxes: readonly Box[];
  readonly region?: readonly string[];
  readonly shares: Record<string, number>;
};

function tableOf(strategy: Model["strategy"], rows: readonly Row[]): void {
  describe(strategy, () => {
    test.each(rows)("$name", ({ boxes, region, shares }) => {
      expect(sharesOf(weighed(boxes, strategy, region))).toEqual(shares);
    });
  });
}

const weight = (weight: number) => ({ weight });
const cost = (perHour: number, rest: object = {}) => ({ cost: { perHour, ...rest } });
const measured = (ttftMs: number | null, tokensPerS: number | null) => ({ ttftMs, tokensPerS });

tableOf("weighted", [
  {
    name: "the operator's weights while there is room, whatever speed was measured",
    boxes: [
      { id: "a", host: weight(3), seen: { inFlight: 2 }, pair: measured(9_000, 1) },
      { id: "b", seen: { inFlight: 0 }, pair: measured(10, 900) },
    ],
    shares: { a: 0.75, b: 0.25 },
  },
  {
    name: "less as it fills up",
    boxes: [
      { id: "a", host: weight(2), seen: { inFlight: 3 } },
      { id: "b", seen: { inFlight: 0 } },
    ],
    shares: { a: 0.524, b: 0.476 },
  },
  {
    name: "weights as large and as small as numbers get",
    boxes: [
      { id: "a", host: weight(Number.MAX_VALUE) },
      { id: "b", host: weight(Number.MAX_VALUE) },
    ],
    shares: { a: 0.5, b: 0.5 },
  },
]);

tableOf("least-busy", [
  {
    name: "idle: by their slots",
    boxes: [{ id: "a", host: { slots: 12 } }, { id: "b" }],
    shares: { a: 0.75, b: 0.25 },
  },
  {
    name: "by what is free",
    boxes: [
      { id: "a", host: { slots: 12 }, seen: { inFlight: 11 } },
      { id: "b", seen: { inFlight: 1 } },
    ],
    shares: { a: 0.25, b: 0.75 },
  },
  {
    name: "what waits inside the engine takes room too",
    boxes: [
      { id: "a", seen: { running: 1, waiting: 2 } },
      { id: "b", seen: { inFlight: 1 } },
    ],
    shares: { a: 0.25, b: 0.75 },
  },
  { name: "weights do not count", boxes: [{ id: "a", host: weight(9) }, { id: "b" }], shares: { a: 0.5, b: 0.5 } },
  {
    name: "no room left by the engine's word: a small rest",
    boxes: [{ id: "a", seen: { running: 4 } }, { id: "b" }],
    shares: { a: 0.024, b: 0.976 },
  },
]);

tableOf("fastest", [
  {
    name: "twice as fast gets four times as much",
    boxes: [
      { id: "a", pair: measured(500, 64) },
      { id: "b", pair: measured(1_000, 32) },
    ],
    shares: { a: 0.8, b: 0.2 },
  },
  {
    name: "not measured yet: as good as the best, so that it gets measured",
    boxes: [{ id: "a", pair: measured(500, 64) }, { id: "b", pair: measured(1_000, 32) }, { id: "c" }],
    shares: { a: 0.444, b: 0.111, c: 0.444 },
  },
  { name: "none measured", boxes: [{ id: "a" }, { id: "b" }], shares: { a: 0.5, b: 0.5 } },
  {
    name: "embeddings: only the first byte",
    boxes: [
      { id: "a", pair: measured(100, null) },
      { id: "b", pair: measured(200, null) },
    ],
    shares: { a: 0.8, b: 0.2 },
  },
  {
    name: "a host that makes no tokens at all has not been measured",
    boxes: [
      { id: "a", pair: measured(500, 0) },
      { id: "b", pair: measured(500, 64) },
    ],
    shares: { a: 0.5, b: 0.5 },
  },
  {
    name: "the averages of a host that is out are no standard",
    boxes: [
      { id: "a", seen: { state: "down" }, pair: measured(1, 9_999) },
      { id: "b", pair: measured(500, 64) },
      { id: "c" },
    ],
    shares: { a: 0, b: 0.5, c: 0.5 },
  },
  {
    name: "fast, and filling up",
    boxes: [
      { id: "a", seen: { inFlight: 3 }, pair: measured(500, 64) },
      { id: "b", pair: measured(500, 64) },
    ],
    shares: { a: 0.355, b: 0.645 },
  },
]);

tableOf("cheapest", [
  {
    name: "per slot, with its current",
    boxes: [
      { id: "a", host: cost(4, { watts: 1_000, perKwh: 0.5 }) },
      { id: "b", host: { slots: 1, ...cost(1.2) } },
      { id: "c", host: cost(4.4) },
    ],
    shares: { a: 0, b: 0, c: 1 },
  },
  {
    name: "alike: by weight",
    boxes: [
      { id: "a", host: { weight: 3, ...cost(1) } },
      { id: "b", host: cost(1) },
    ],
    shares: { a: 0.75, b: 0.25 },
  },
  {
    name: "one that costs much before one of unknown cost, before a cloud of unknown cost",
    boxes: [{ id: "a", host: { engine: "openai" } }, { id: "b" }, { id: "c", host: cost(1_000_000) }],
    shares: { a: 0, b: 0, c: 1 },
  },
  {
    name: "a cloud is the last",
    boxes: [{ id: "a", host: { engine: "openai" } }, { id: "b" }],
    shares: { a: 0, b: 1 },
  },
  {
    name: "the cheapest is full",
    boxes: [
      { id: "a", host: cost(1), seen: { inFlight: 4 } },
      { id: "b", host: cost(2) },
    ],
    shares: { a: 0, b: 1 },
  },
  {
    name: "the cheapest is on trial",
    boxes: [
      { id: "a", host: cost(1), pair: { breaker: "half-open" } },
      { id: "b", host: cost(2) },
      { id: "c", host: cost(3) },
    ],
    shares: { a: 0.05, b: 0.95, c: 0 },
  },
]);

const FRANKFURT = ["FRA", "DE", "EU"];
const region = (...region: string[]) => ({ region });
tableOf("nearest", [
  {
    name: "the same data centre, then the country, then the continent",
    boxes: [
      { id: "a", host: region("DE", "EU") },
      { id: "b", host: region("FRA", "DE", "EU") },
      { id: "c", host: region("EU") },
    ],
    region: FRANKFURT,
    shares: { a: 0, b: 1, c: 0 },
  },
  {
    name: "as near: by weight",
    boxes: [
      { id: "a", host: { weight: 3, ...region("PAR", "FR", "EU") } },
      { id: "b", host: region("eu") },
      { id: "c", host: region("NYC", "US", "NA") },
    ],
    region: FRANKFURT,
    shares: { a: 0.75, b: 0.25, c: 0 },
  },
  {
    name: "nobody near: all, by weight",
    boxes: [{ id: "a", host: { weight: 3, ...region("US") } }, { id: "b" }],
    region: FRANKFURT,
    shares: { a: 0.75, b: 0.25 },
  },
  { name: "nobody knows where", boxes: [{ id: "a", host: region("DE") }, { id: "b" }], shares: { a: 0.5, b: 0.5 } },
  {
    name: "the near one is down",
    boxes: [{ id: "a", host: region("FRA"), seen: { state: "down" } }, { id: "b", host: region("DE") }, { id: "c" }],
    region: FRANKFURT,
    shares: { a: 0, b: 1, c: 0 },
  },
]);
