/**
 * Sliding request windows: never more than `max` admissions in any interval of the window's length. Pure.
 *
 * Admissions are counted in sixtieths of the window ("slices"). A slice counts until its *end* has left the window, so
 * an admission is held for the window's length and at most one slice (1/60 of it) longer: never an admission too many,
 * and a refusal at most 1/60 of the window earlier than an exact log of every admission would give it.
 */

const SLICES = 60;

export type Limit = {
  /** The policy's name in headers. */
  readonly name: string;
  readonly max: number;
  readonly windowMs: number;
};

/** Admissions per slice, by slice number (time divided by the slice's length), for one window. */
export type Slices = Record<number, number>;
/** By the limit's name. */
export type Windows = Record<string, Slices>;

export type Standing = {
  readonly limit: Limit;
  /** Admissions left now. */
  readonly remaining: number;
  /** Until the oldest counted admission leaves and one more is allowed; 0 while nothing is counted. */
  readonly resetMs: number;
};

export type Verdict = {
  readonly kind: "allowed" | "denied";
  /** Every limit as it stands after this decision. */
  readonly standings: readonly Standing[];
  /** Until all limits would allow it, if nobody else asks meanwhile; 0 when allowed. */
  readonly retryAfterMs: number;
  readonly windows: Windows;
};

/**
 * Decides one request against all limits at once: it counts in every window or, refused, in none.
 *
 * @param windows the counts so far; not changed
 * @param limits the tier's limits
 * @param nowMs a clock that never runs backwards
 */
export function take(windows: Windows, limits: readonly Limit[], nowMs: number): Verdict {
  const current: Windows = {};
  for (const limit of limits) current[limit.name] = recent(windows[limit.name] ?? {}, limit, nowMs);
  const before = limits.map((limit) => standing(current[limit.name] ?? {}, limit, nowMs));
  const retryAfterMs = Math.max(0, ...before.filter(({ remaining }) => remaining <= 0).map(({ resetMs }) => resetMs));
  if (retryAfterMs > 0) return { kind: "denied", standings: before, retryAfterMs, windows: current };
  for (const limit of limits) {
    const slices = current[limit.name] ?? {};
    const slice = Math.floor(nowMs / sliceMs(limit));
    slices[slice] = (slices[slice] ?? 0) + 1;
  }
  const standings = limits.map((limit) => standing(current[limit.name] ?? {}, limit, nowMs));
  return { kind: "allowed", standings, retryAfterMs: 0, windows: current };
}

function sliceMs(limit: Limit): number {
  return limit.windowMs / SLICES;
}

/** The slices whose end has not left the window yet. */
function recent(slices: Slices, limit: Limit, nowMs: number): Slices {
  const kept: Slices = {};
  for (const [slice, count] of Object.entries(slices)) {
    if (leavesAtMs(Number(slice), limit) > nowMs) kept[Number(slice)] = count;
  }
  return kept;
}

function leavesAtMs(slice: number, limit: Limit): number {
  return (slice + 1) * sliceMs(limit) + limit.windowMs;
}

function standing(slices: Slices, limit: Limit, nowMs: number): Standing {
  const counted = Object.values(slices).reduce((sum, count) => sum + count, 0);
  // Object keys that are integers come in ascending order (ECMA-262, OrdinaryOwnPropertyKeys): oldest first.
  const oldestFirst = Object.entries(slices);
  let toFree = Math.max(1, counted - limit.max + 1);
  let resetMs = 0;
  for (const [slice, count] of oldestFirst) {
    toFree -= count;
    resetMs = Math.ceil(leavesAtMs(Number(slice), limit) - nowMs);
    if (toFree <= 0) break;
  }
  return { limit, remaining: Math.max(0, limit.max - counted), resetMs };
}
