import { expect, test } from "vitest";
import { rateLimitHeaders } from "#src/limits/headers.ts";
import type { Standing } from "#src/limits/windows.ts";

const STANDINGS: Standing[] = [
  { limit: { name: "rpm", max: 50, windowMs: 60_000 }, remaining: 12, resetMs: 22_001 },
  { limit: { name: "rph", max: 500, windowMs: 3_600_000 }, remaining: 0, resetMs: 1_800_000 },
  { limit: { name: "rpd", max: 5_000, windowMs: 86_400_000 }, remaining: 4_000, resetMs: 1 },
];

test("every window, as structured fields; seconds are rounded up, so that waiting them out is enough", () => {
  expect(rateLimitHeaders(STANDINGS)).toMatchObject({
    "ratelimit-policy": '"rpm";q=50;w=60, "rph";q=500;w=3600, "rpd";q=5000;w=86400',
    ratelimit: '"rpm";r=12;t=23, "rph";r=0;t=1800, "rpd";r=4000;t=1',
  });
});

test("the shortest window for clients that know one", () => {
  expect(rateLimitHeaders(STANDINGS)).toMatchObject({
    "x-ratelimit-limit-requests": "50",
    "x-ratelimit-remaining-requests": "12",
    "x-ratelimit-reset-requests": "23s",
  });
});

test("no windows, no headers", () => {
  expect(rateLimitHeaders([])).toEqual({});
});
