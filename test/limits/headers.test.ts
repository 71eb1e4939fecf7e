import { describe, expect, test } from "vitest";
import type { Standings } from "#src/limits/account.ts";
import { rateLimitHeaders } from "#src/limits/headers.ts";
import type { Standing } from "#src/limits/windows.ts";
import { type Item, parseList } from "#test/support/structured-fields.ts";

const MINUTE_MS = 60_000;
const RPM: Standing = {
  limit: { name: "rpm", unit: "requests", max: 50, windowMs: MINUTE_MS },
  remaining: 12,
  resetMs: 22_001,
};
const RPH: Standing = {
  limit: { name: "rph", unit: "requests", max: 500, windowMs: 60 * MINUTE_MS },
  remaining: 0,
  resetMs: 1_800_000,
};
const TPM: Standing = {
  limit: { name: "tpm", unit: "tokens", max: 20_000, windowMs: MINUTE_MS },
  remaining: 4_000,
  resetMs: 1,
};
const BUDGET: Standing = {
  limit: { name: "budget-day", unit: "micros", max: 2_000_000, windowMs: 1_440 * MINUTE_MS },
  remaining: 1,
  resetMs: 0,
};
const SLOT = { slot: { name: "concurrency", max: 4 }, remaining: 3 };

const ALL: Standings = { windows: [RPM, RPH, TPM, BUDGET], slots: [SLOT] };

/** The two structured fields of these standings, as a strict parser reads them. */
function fields(standings: Standings): { policy: Item[]; limit: Item[] } {
  const headers = rateLimitHeaders(standings);
  return { policy: parseList(headers["ratelimit-policy"] ?? ""), limit: parseList(headers.ratelimit ?? "") };
}

test("every window and slot as structured fields; seconds are rounded up, so that waiting them out is enough", () => {
  expect(fields(ALL)).toEqual({
    policy: [
      { value: "rpm", parameters: { q: 50, w: 60 } },
      { value: "rph", parameters: { q: 500, w: 3_600 } },
      { value: "tpm", parameters: { q: 20_000, qu: "tokens", w: 60 } },
      { value: "budget-day", parameters: { q: 2_000_000, qu: "usd-micros", w: 86_400 } },
      { value: "concurrency", parameters: { q: 4, qu: "concurrent-requests" } },
    ],
    limit: [
      { value: "rpm", parameters: { r: 12, t: 23 } },
      { value: "rph", parameters: { r: 0, t: 1_800 } },
      { value: "tpm", parameters: { r: 4_000, t: 1 } },
      { value: "budget-day", parameters: { r: 1, t: 0 } },
      { value: "concurrency", parameters: { r: 3 } },
    ],
  });
});

test("names of models and keys are strings as well", () => {
  const named = { ...RPM, limit: { ...RPM.limit, name: "rpm/model/meta-llama/Llama-3.1:8b" } };
  expect(fields({ windows: [named], slots: [] }).limit.map(({ value }) => value)).toEqual([named.limit.name]);
});

test.each([999_999_999_999_999, Number.MAX_SAFE_INTEGER, 1e300])(
  "a limit of %d, by which an operator means none, is still an integer of at most 15 digits",
  (max) => {
    const windows = [{ ...RPM, limit: { ...RPM.limit, max }, remaining: max - 1 }];
    const { policy, limit } = fields({ windows, slots: [{ slot: { name: "concurrency", max }, remaining: max }] });
    for (const { parameters } of policy) expect(parameters.q).toBe(999_999_999_999_999);
    for (const { parameters } of limit) expect(parameters.r).toBeGreaterThanOrEqual(999_999_999_999_998);
  },
);

describe("for clients that know one window of each", () => {
  test("the shortest of requests and of tokens", () => {
    const { "ratelimit-policy": _policy, ratelimit: _limit, ...others } = rateLimitHeaders(ALL);
    expect(others).toEqual({
      "x-ratelimit-limit-requests": "50",
      "x-ratelimit-remaining-requests": "12",
      "x-ratelimit-reset-requests": "23s",
      "x-ratelimit-limit-tokens": "20000",
      "x-ratelimit-remaining-tokens": "4000",
      "x-ratelimit-reset-tokens": "1s",
    });
  });

  test("nothing of a unit that has no limit", () => {
    const names = Object.keys(rateLimitHeaders({ windows: [BUDGET], slots: [] }));
    expect(names).toEqual(["ratelimit-policy", "ratelimit"]);
  });
});

test("no windows, no headers", () => {
  expect(rateLimitHeaders({ windows: [], slots: [] })).toEqual({});
});
