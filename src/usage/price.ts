/**
 * What an answer cost, in integer micro-dollars, so that sums are exact. Pure. What is not known is null and never 0: a
 * model without a price, host time on a host whose cost the catalog does not name.
 */
import type { Host, Model } from "#src/catalog/schema.ts";

const MS_PER_SECOND = 1_000;
const MS_PER_HOUR = 3_600_000;
const WATTS_PER_KILOWATT = 1_000;

export type Spent = {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Of the prompt's, those from the engine's prefix cache; null when it did not say, and then none is credited. */
  readonly cachedTokens: number | null;
  /** How long the host worked on it; null when none did, or it is not known. */
  readonly hostMs: number | null;
};

/** The host's share of the price. */
export type PricedHost = Pick<Host, "cost" | "slots">;

/** Prices are taken to the billionth of a dollar, and counted in whole ones: floating point is off at exact halves. */
const NANOS_PER_DOLLAR = 1_000_000_000;
/** Nano-dollars for a thousand tokens, per token, are thousandths of nano-dollars. */
const THOUSANDTHS_PER_MICRO = 1_000_000n;

/**
 * Rounded once, at the end, to the nearest micro-dollar: a request that costs less than half of one costs nothing.
 *
 * @returns null when a part of the price is not known
 */
export function costMicros(price: Model["price"], spent: Spent, host: PricedHost | null): number | null {
  if (price === undefined) return null;
  const time = hostTime(price, spent, host);
  if (time === null) return null;
  const prompt = price.per1kPromptTokens ?? price.per1kTokens ?? 0;
  const completion = price.per1kCompletionTokens ?? price.per1kTokens ?? 0;
  const cached = Math.min(spent.cachedTokens ?? 0, spent.promptTokens);
  const perToken = (count: number, per1k: number): bigint => BigInt(count) * nanos(per1k);
  const tokens =
    perToken(spent.promptTokens - cached, prompt) +
    perToken(cached, price.per1kCachedTokens ?? prompt) +
    perToken(spent.completionTokens, completion);
  const others = nanos((price.perRequest ?? 0) + time) * 1_000n;
  return Number((tokens + others + THOUSANDTHS_PER_MICRO / 2n) / THOUSANDTHS_PER_MICRO);
}

function nanos(dollars: number): bigint {
  return BigInt(Math.round(dollars * NANOS_PER_DOLLAR));
}

/** Dollars for the time that the host worked: what the catalog charges for a second, and what the host costs its owner. */
function hostTime(
  { perGpuSecond, hostTime }: NonNullable<Model["price"]>,
  { hostMs }: Spent,
  host: PricedHost | null,
): number | null {
  if (perGpuSecond === undefined && hostTime !== true) return 0;
  if (hostMs === null) return null;
  const charged = (hostMs / MS_PER_SECOND) * (perGpuSecond ?? 0);
  if (hostTime !== true) return charged;
  if (host?.cost === undefined) return null;
  const { perHour, watts, perKwh } = host.cost;
  // A host that works on many requests at once costs no more for it: each slot bears its part.
  return charged + ((hostMs / MS_PER_HOUR) * (perHour + (watts / WATTS_PER_KILOWATT) * perKwh)) / host.slots;
}

/**
 * Names a price, so that a row of the ledger says which one it was reckoned by.
 *
 * @returns the catalog's own name for it, or a digest of its figures (FNV-1a, 32 bits: it tells prices apart and guards
 *   nothing); null without a price
 */
export function priceVersion(price: Model["price"], host: PricedHost | null): string | null {
  if (price === undefined) return null;
  if (price.version !== undefined) return price.version;
  if (price.hostTime === true) return digestOf([price, [host?.cost, host?.slots]]);
  // A catalog's price is the same object for as long as the catalog is in force.
  const known = digests.get(price) ?? digestOf([price, null]);
  digests.set(price, known);
  return known;
}

const digests = new WeakMap<object, string>();

function digestOf(of: unknown): string {
  const figures = JSON.stringify(of);
  let digest = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(figures)) digest = Math.imul(digest ^ byte, 0x01000193) >>> 0;
  return digest.toString(16).padStart(8, "0");
}
