/**
 * Sliding windows: never more than `max` units charged in any interval of the window's length, whether the units are
 * requests, tokens or money. Pure.
 *
 * Charges are kept in sixtieths of the window ("slices"). A slice counts until its *end* has left the window, so a
 * charge is held for the window's length and at most one slice (1/60 of it) longer: never a unit too many, and a refusal
 * at most 1/60 of the window earlier than an exact log of every charge would give it.
 */

const SLICES = 60;

/** What a request spends: itself, its tokens, its price in micro-dollars. */
export type Cost = { readonly requests: number; readonly tokens: number; readonly micros: number };

export type Limit = {
  /** The policy's name in headers, and of its window. */
  readonly name: string;
  readonly unit: keyof Cost;
  readonly max: number;
  readonly windowMs: number;
};

/** Units per slice, by slice number (time divided by the slice's length), for one window. */
export type Slices = Readonly<Record<number, number>>;
/** By the limit's name. */
export type Windows = Readonly<Record<string, Slices>>;

export type Standing = {
  readonly limit: Limit;
  /** Units left now. */
  readonly remaining: number;
  /** Until the oldest charge leaves; in a refusal, until enough have left. 0 while nothing is charged. */
  readonly resetMs: number;
};

export type Verdict = {
  readonly kind: "allowed" | "denied";
  /** Every limit as it stands after this decision. */
  readonly standings: readonly Standing[];
  /** Those that refused; empty when allowed. */
  readonly violated: readonly Standing[];
  /** Until all limits would allow it, if nobody else asks meanwhile; 0 when allowed, null when none ever will. */
  readonly retryAfterMs: number | null;
  readonly windows: Windows;
};

/**
 * Decides one request against all limits at once: it is charged in every window or, refused, in none.
 *
 * @param windows the charges so far; not changed
 * @param nowMs a clock that never runs backwards
 */
export function take(windows: Windows, limits: readonly Limit[], cost: Cost, nowMs: number): Verdict {
  const current: Record<string, Slices> = {};
  for (const limit of limits) current[limit.name] = recent(windows[limit.name] ?? {}, limit, nowMs);
  const before = limits.map((limit) => standing(current[limit.name] ?? {}, limit, cost[limit.unit], nowMs));
  const violated = before.filter(({ limit, remaining }) => cost[limit.unit] > remaining);
  if (violated.length > 0) {
    const isHopeless = violated.some(({ limit }) => cost[limit.unit] > limit.max);
    const retryAfterMs = isHopeless ? null : Math.max(...violated.map(({ resetMs }) => resetMs));
    return { kind: "denied", standings: before, violated, retryAfterMs, windows: current };
  }
  for (const limit of limits) {
    // Also what costs nothing yet: its price may be known only when it is corrected.
    const slices = current[limit.name] ?? {};
    const slice = sliceAt(limit, nowMs);
    current[limit.name] = { ...slices, [slice]: (slices[slice] ?? 0) + cost[limit.unit] };
  }
  const standings = limits.map((limit) => standing(current[limit.name] ?? {}, limit, 0, nowMs));
  return { kind: "allowed", standings, violated: [], retryAfterMs: 0, windows: current };
}

/** Every limit as it stands, without charging anything. */
export function look(windows: Windows, limits: readonly Limit[], nowMs: number): Standing[] {
  return limits.map((limit) => standing(recent(windows[limit.name] ?? {}, limit, nowMs), limit, 0, nowMs));
}

/**
 * Corrects an earlier charge where it was made, so that what it turned out to be is what every window counts. A charge
 * that has left its window is left alone.
 *
 * @param atMs the time of that charge, by the same clock
 * @param difference what it turned out to be less what was charged; may be negative
 */
export function correct(windows: Windows, limits: readonly Limit[], difference: Cost, atMs: number): Windows {
  const changed: Record<string, Slices> = {};
  for (const limit of limits) {
    const slices = windows[limit.name];
    const slice = sliceAt(limit, atMs);
    const charged = slices?.[slice];
    if (charged === undefined || difference[limit.unit] === 0) continue;
    changed[limit.name] = { ...slices, [slice]: Math.max(0, charged + difference[limit.unit]) };
  }
  return { ...windows, ...changed };
}

function sliceAt(limit: Limit, nowMs: number): number {
  return Math.floor(nowMs / sliceMs(limit));
}

function sliceMs(limit: Limit): number {
  return limit.windowMs / SLICES;
}

/** The slices whose end has not left the window yet. */
function recent(slices: Slices, limit: Limit, nowMs: number): Slices {
  const oldest = Object.keys(slices)[0];
  if (oldest === undefined || leavesAtMs(Number(oldest), limit) > nowMs) return slices;
  return Object.fromEntries(Object.entries(slices).filter(([slice]) => leavesAtMs(Number(slice), limit) > nowMs));
}

function leavesAtMs(slice: number, limit: Limit): number {
  return (slice + 1) * sliceMs(limit) + limit.windowMs;
}

/** @param wanted units that are asked for now: the reset is then when they would fit */
function standing(slices: Slices, limit: Limit, wanted: number, nowMs: number): Standing {
  // Object keys that are integers come in ascending order (ECMA-262, OrdinaryOwnPropertyKeys): oldest first.
  const oldestFirst = Object.entries(slices).filter(([, units]) => units > 0);
  const charged = oldestFirst.reduce((sum, [, units]) => sum + units, 0);
  let toFree = Math.max(1, charged + wanted - limit.max);
  let resetMs = 0;
  for (const [slice, units] of oldestFirst) {
    toFree -= units;
    resetMs = Math.ceil(leavesAtMs(Number(slice), limit) - nowMs);
    if (toFree <= 0) break;
  }
  return { limit, remaining: Math.max(0, limit.max - charged), resetMs };
}
