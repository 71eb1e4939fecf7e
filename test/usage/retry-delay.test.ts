import { describe, expect, test } from "vitest";
import { retryDelayS } from "#src/usage/retry-delay.ts";
import wranglerToml from "../../wrangler.toml?raw";

const DAY_S = 86_400;
/** The platform's own bound on a delay. */
const LONGEST_S = 12 * 3_600;

test.each([
  { attempts: 1, wholeS: 5 },
  { attempts: 2, wholeS: 10 },
  { attempts: 3, wholeS: 20 },
  { attempts: 9, wholeS: 1_280 },
  { attempts: 10, wholeS: 1_800 },
  { attempts: 50, wholeS: 1_800 },
  { attempts: 2_000, wholeS: 1_800 },
])("after delivery $attempts about $wholeS s, up to a quarter less by chance", ({ attempts, wholeS }) => {
  expect(retryDelayS(attempts, 0)).toBe(wholeS);
  expect(retryDelayS(attempts, 1)).toBe(Math.round(wholeS * 0.75));
  expect(retryDelayS(attempts, 0.5)).toBeLessThanOrEqual(LONGEST_S);
});

describe("the retries of wrangler.toml outlast a day without a database", () => {
  test.each(["usage", "usage-dlq"])("of the queue %s", (queue) => {
    const consumers = wranglerToml.split("[[queues.consumers]]").slice(1);
    const settings = consumers.find((text) => text.includes(`\nqueue = "${queue}"\n`)) ?? "";
    const maxRetries = Number(/^max_retries = (\d+)$/m.exec(settings)?.[1]);
    // The platform's own bound on retries is 100.
    expect(maxRetries).toBeLessThanOrEqual(100);
    let sumS = 0;
    for (let attempts = 1; attempts <= maxRetries; attempts++) sumS += retryDelayS(attempts, 1);
    expect(sumS).toBeGreaterThanOrEqual(DAY_S);
  });
});
