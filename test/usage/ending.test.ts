import { describe, expect, test } from "vitest";
import { type Counted, cachedEnding, type Ending, endingOf } from "#src/usage/ending.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
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
  costMicros: null,
});
const TOLD: Counted = { promptTokens: 11, completionTokens: 7, contentPieces: 6, finishReason: "stop" };
const COMPLETE: Ending = {
  outcome: "complete",
  host: "gpu",
  servedAs: "m",
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
      event: { promptTokens: 11, completionTokens: 7, estimated: false, costMicros: 18_000 },
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
      counted: { promptTokens: null, completionTokens: null, contentPieces: 3, finishReason: null },
      event: { promptTokens: 40, completionTokens: 3, estimated: true, finishReason: null, costMicros: 43_000 },
    },
    {
      name: "a told zero is not an untold one",
      counted: { ...TOLD, completionTokens: 0 },
      event: { completionTokens: 0, estimated: false },
    },
    {
      name: "no host began to work: nothing was spent, and that is exact",
      counted: null,
      event: { promptTokens: 0, completionTokens: 0, estimated: false, finishReason: null, costMicros: 0 },
    },
  ])("$name", ({ counted, event }) => {
    expect(endingOf(DRAFT, PRICE, { ...COMPLETE, counted })).toMatchObject(event);
  });

  test("without a price the cost is unknown, not zero", () => {
    expect(endingOf(DRAFT, undefined, COMPLETE).costMicros).toBeNull();
  });
});

describe("times", () => {
  test.each<{ name: string; changed: Partial<Ending>; event: Partial<InferenceEvent> }>([
    { name: "from arrival", changed: {}, event: { ttftMs: 40, latencyMs: 420 } },
    { name: "no content, no first token", changed: { firstContentAtMs: null }, event: { ttftMs: null } },
    {
      name: "never negative, though the clock stepped back",
      changed: { firstContentAtMs: 900, nowMs: 950 },
      event: { ttftMs: 0, latencyMs: 0 },
    },
  ])("$name", ({ changed, event }) => {
    expect(endingOf(DRAFT, PRICE, { ...COMPLETE, ...changed })).toMatchObject(event);
  });
});

test("who answered and how it ended come from the ending, who asked from the draft", () => {
  const event = endingOf(DRAFT, PRICE, { ...COMPLETE, outcome: "client_left", attempts: 2 });
  expect(event).toMatchObject({ outcome: "client_left", host: "gpu", servedAs: "m", attempts: 2 });
  const { id, atMs, userId, tier, model, route } = DRAFT;
  expect(event).toMatchObject({ id, atMs, userId, tier, model, route });
});

test("a cached answer costs nothing and says what it saved", () => {
  expect(cachedEnding(DRAFT, 18, 1_005)).toEqual({
    ...DRAFT,
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
