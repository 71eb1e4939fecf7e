/** A tier for tests: wide, and changed where the test says so. */
import type { Tier } from "#src/catalog/tier.ts";

/** What the catalog makes of a tier that names no more than it must. */
export function tierWith(changed: Partial<Tier> = {}): Tier {
  return {
    rpm: 1_000,
    rph: 10_000,
    rpd: 100_000,
    tpm: 1_000_000,
    concurrency: 100,
    share: 1,
    priority: 0,
    models: {},
    over: "refuse",
    allowFields: [],
    ...changed,
  };
}
