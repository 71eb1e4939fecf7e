/** What tokens cost, in integer micro-dollars, so that sums are exact. Pure. */
import type { Model } from "#src/catalog/schema.ts";

const MICROS_PER_DOLLAR = 1_000_000;

/** Null when the model has no price: unknown is not free. Rounded to the nearest micro-dollar. */
export function costMicros(price: Model["price"], tokens: number): number | null {
  if (price === undefined) return null;
  return Math.round((tokens / 1000) * price.per1kTokens * MICROS_PER_DOLLAR);
}
