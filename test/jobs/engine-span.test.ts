import { describe, expect, test } from "vitest";
import { compare, type EngineLook } from "#src/jobs/engine-span.ts";

const look = (changed: Partial<EngineLook> = {}): EngineLook => ({
  at_ms: 1_790_000_000_000,
  prompt_tokens: 1_000,
  completion_tokens: 500,
  in_flight: 0,
  started_at_s: null,
  ...changed,
});
const LATER = { at_ms: 1_790_086_400_000, prompt_tokens: 1_150, completion_tokens: 540 };
const LEDGER = { requests: 9, promptTokens: 150, completionTokens: 40, cachedTokens: 32 };

describe("an engine's count against the ledger's", () => {
  test.each<{ name: string; before: EngineLook | null; now: EngineLook; says: object; engine?: "vllm" | "llamacpp" }>([
    {
      name: "they agree",
      before: look(),
      now: look(LATER),
      says: { kind: "compared", difference: { prompt_tokens: 0, completion_tokens: 0 } },
    },
    {
      name: "the engine counted more",
      before: look(),
      now: look({ ...LATER, completion_tokens: 547 }),
      says: {
        engine: { prompt_tokens: 150, completion_tokens: 47 },
        ledger: { prompt_tokens: 150, completion_tokens: 40 },
        difference: { prompt_tokens: 0, completion_tokens: 7 },
      },
    },
    {
      name: "the ledger has more",
      before: look(),
      now: look({ ...LATER, prompt_tokens: 1_100 }),
      says: { difference: { prompt_tokens: -50, completion_tokens: 0 } },
    },
    {
      name: "llama.cpp does not count what its cache had",
      before: look(),
      now: look({ ...LATER, prompt_tokens: 1_118 }),
      engine: "llamacpp",
      says: { difference: { prompt_tokens: 0, completion_tokens: 0 } },
    },
    {
      name: "there is no look before",
      before: null,
      now: look(),
      says: { kind: "incomparable", reason: "first_look" },
    },
    ...[
      { name: "prompt tokens fell", now: look({ ...LATER, prompt_tokens: 999 }) },
      { name: "completion tokens fell", now: look({ ...LATER, completion_tokens: 0 }) },
      { name: "it caught up, but began after the look before", now: look({ ...LATER, started_at_s: 1_790_000_006 }) },
    ].map((row) => ({ ...row, before: look(), says: { kind: "incomparable", reason: "engine_restarted" } })),
    {
      name: "it began shortly before, by another clock",
      before: look(),
      now: look({ ...LATER, started_at_s: 1_790_000_004 }),
      says: { kind: "compared" },
    },
  ])("$name", ({ before, now, says, engine = "vllm" }) => {
    expect(compare(engine, before, now, LEDGER)).toMatchObject(says);
  });
});
