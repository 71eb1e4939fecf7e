import { describe, expect, test } from "vitest";
import type { Model } from "#src/catalog/schema.ts";
import { type Counted, cachedEnding, type Ending, endingOf } from "#src/usage/ending.ts";
import { type InferenceEvent, usageEvent } from "#src/usage/event.ts";
import { priceVersion } from "#src/usage/price.ts";
import { eventWith } from "#test/support/events.ts";

const PRICE = { per1kTokens: 1 };
const DRAFT = eventWith({
  atMs: 1_000,
  host: null,
  servedAs: null,
  promptTokens: 40,
  completionTokens: 500,
  estimated: true,
  ttftMs: null,
  latencyMs: 0,
  finishReason: null,
  outcome: "abandoned",
  attempts: 0,
  hostMs: null,
  costMicros: null,
  priceVersion: null,
});
const TOLD: Counted = {
  promptTokens: 11,
  completionTokens: 7,
  cachedTokens: 4,
  contentPieces: 6,
  finishReason: "stop",
};
const COMPLETE: Ending = {
  outcome: "complete",
  host: "gpu",
  servedAs: "m",
  pricedHost: { slots: 1 },
  askedAtMs: 1_010,
  attempts: 1,
  counted: TOLD,
  firstContentAtMs: 1_040,
  nowMs: 1_420,
};

describe("tokens", () => {
  test.each<{ name: string; counted: Counted | null; event: Partial<InferenceEvent> }>([
    {
      name: "what the engine told is exact",
      counted: TOLD,
      event: { promptTokens: 11, completionTokens: 7, cachedTokens: 4, estimated: false, costMicros: 18_000 },
    },
    {
      name: "pieces stand for completion tokens it did not tell",
      counted: { ...TOLD, completionTokens: null },
      event: { promptTokens: 11, completionTokens: 6, estimated: true },
    },
    {
      name: "the draft stands for prompt tokens it did not tell",
      counted: { ...TOLD, promptTokens: null },
      event: { promptTokens: 40, completionTokens: 7, estimated: true },
    },
    {
      name: "it told nothing",
      counted: { ...TOLD, promptTokens: null, completionTokens: null, contentPieces: 3, finishReason: null },
      event: { promptTokens: 40, completionTokens: 3, estimated: true, finishReason: null, costMicros: 43_000 },
    },
    {
      name: "a told zero is not an untold one",
      counted: { ...TOLD, completionTokens: 0 },
      event: { completionTokens: 0, estimated: false },
    },
    {
      name: "what the engine's cache had may stay untold, and the rest is exact all the same",
      counted: { ...TOLD, cachedTokens: null },
      event: { cachedTokens: null, estimated: false },
    },
    {
      name: "nothing from the engine's cache is not an untold part",
      counted: { ...TOLD, cachedTokens: 0 },
      event: { cachedTokens: 0 },
    },
    {
      name: "no host began to work: nothing was spent, and that is exact",
      counted: null,
      event: {
        promptTokens: 0,
        completionTokens: 0,
        cachedTokens: null,
        estimated: false,
        finishReason: null,
        costMicros: 0,
        hostMs: null,
      },
    },
  ])("$name", ({ counted, event }) => {
    expect(endingOf(DRAFT, PRICE, { ...COMPLETE, counted })).toMatchObject(event);
  });
});

describe("the price", () => {
  const HOST = { slots: 2, cost: { perHour: 3.6, watts: 0, perKwh: 0 } };
  const TIME = { hostTime: true };
  test.each<{ name: string; price: Model["price"]; changed: Partial<Ending>; costMicros: number | null }>([
    { name: "none: unknown, not zero", price: undefined, changed: {}, costMicros: null },
    { name: "none, and nobody worked: still not zero", price: undefined, changed: { counted: null }, costMicros: null },
    { name: "nobody worked: nothing is owed", price: { perRequest: 1 }, changed: { counted: null }, costMicros: 0 },
    {
      name: "nobody worked: nothing is owed, whatever the host would cost",
      price: TIME,
      changed: { counted: null, pricedHost: null, askedAtMs: null },
      costMicros: 0,
    },
    {
      name: "a part of the prompt was in the engine's cache",
      price: { per1kTokens: 1, per1kCachedTokens: 0 },
      changed: {},
      costMicros: 14_000,
    },
    // 410 ms of half a host that costs a milli-dollar a second.
    { name: "the host's time", price: TIME, changed: { pricedHost: HOST }, costMicros: 205 },
    { name: "the time of a host of unknown cost", price: TIME, changed: {}, costMicros: null },
    { name: "the time of nobody knows whom", price: TIME, changed: { pricedHost: null }, costMicros: null },
    {
      name: "a time that is not known",
      price: { perGpuSecond: 1 },
      changed: { askedAtMs: null },
      costMicros: null,
    },
  ])("$name", ({ price, changed, costMicros }) => {
    const ending = { ...COMPLETE, ...changed };
    const event = endingOf(DRAFT, price, ending);
    expect(event.costMicros).toBe(costMicros);
    expect(event.priceVersion).toBe(priceVersion(price, ending.pricedHost));
    // What the consumer reads is the same.
    expect(usageEvent.parse(event)).toEqual(event);
  });
});

describe("times", () => {
  test.each<{ name: string; changed: Partial<Ending>; event: Partial<InferenceEvent> }>([
    { name: "from arrival", changed: {}, event: { ttftMs: 40, latencyMs: 420, hostMs: 410 } },
    { name: "the host that was asked last", changed: { askedAtMs: 1_400 }, event: { hostMs: 20, latencyMs: 420 } },
    { name: "no host was asked", changed: { askedAtMs: null, counted: null }, event: { hostMs: null } },
    { name: "a host was asked and did not begin", changed: { counted: null }, event: { hostMs: null } },
    { name: "no content, no first token", changed: { firstContentAtMs: null }, event: { ttftMs: null } },
    {
      name: "never negative, though the clock stepped back",
      changed: { firstContentAtMs: 900, nowMs: 950 },
      event: { ttftMs: 0, latencyMs: 0, hostMs: 0 },
    },
  ])("$name", ({ changed, event }) => {
    expect(endingOf(DRAFT, PRICE, { ...COMPLETE, ...changed })).toMatchObject(event);
  });
});

test("who answered and how it ended come from the ending, who asked from the draft", () => {
  const event = endingOf(DRAFT, PRICE, { ...COMPLETE, outcome: "client_left", attempts: 2 });
  expect(event).toMatchObject({ outcome: "client_left", host: "gpu", servedAs: "m", attempts: 2 });
  const { id, atMs, account, userId, tenant, keyId, tier, model, route, traceId, workflowId } = DRAFT;
  expect(event).toMatchObject({ id, atMs, account, userId, tenant, keyId, tier, model, route, traceId, workflowId });
  expect(event).toMatchObject({ admittedBy: "account", content: null, queueWaitMs: null, savedTokens: 0 });
});

test("a cached answer of a model without a price does not say that it cost nothing", () => {
  expect(cachedEnding(DRAFT, undefined, 18, 1_005)).toMatchObject({ costMicros: null, priceVersion: null });
});

test("a cached answer costs nothing and says what it saved", () => {
  expect(cachedEnding(DRAFT, PRICE, 18, 1_005)).toEqual({
    ...DRAFT,
    priceVersion: expect.any(String),
    promptTokens: 0,
    completionTokens: 0,
    estimated: false,
    costMicros: 0,
    outcome: "cached",
    cache: "hit",
    savedTokens: 18,
    latencyMs: 5,
  });
});
