/** The few statistics that the goals are written in. Pure. */

/**
 * The nearest-rank quantile: a value that was really seen.
 *
 * @param part 0 to 1
 * @returns null of nothing
 */
export function quantile(values: readonly number[], part: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? null;
}

/**
 * Jain's index of fairness (Jain, Chiu and Hawe, DEC-TR-301, 1984): 1 when all have the same, 1/n when one has
 * everything.
 *
 * @returns null when nobody has anything
 */
export function jain(amounts: readonly number[]): number | null {
  const squares = sum(amounts.map((amount) => amount ** 2));
  return squares === 0 ? null : sum(amounts) ** 2 / (amounts.length * squares);
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** How much of [fromMs, toMs] lies within [sinceMs, untilMs], 0 to 1; an instant lies within or not. */
export function partWithin(fromMs: number, toMs: number, sinceMs: number, untilMs: number): number {
  if (toMs <= fromMs) return fromMs >= sinceMs && fromMs <= untilMs ? 1 : 0;
  return Math.max(0, Math.min(toMs, untilMs) - Math.max(fromMs, sinceMs)) / (toMs - fromMs);
}
