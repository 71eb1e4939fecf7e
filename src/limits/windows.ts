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

/**
 * What is charged in one window, slice by slice: a plain list, because it is copied for every request (by profile, an
 * object by slice number took four times as long to decide by).
 */
export type Slices = {
  /** Number of the first slice: its time divided by a slice's length. */
  readonly first: number;
  /** Units of that slice and those after it, without a gap. */
  readonly units: readonly number[];
  /** All of them together. */
  readonly sum: number;
};
/** By the limit's name. */
export type Windows = Readonly<Record<string, Slices>>;

const EMPTY: Slices = { first: 0, units: [], sum: 0 };

/** As builds before this one kept them: units by slice number. */
type OlderSlices = Readonly<Record<string, number>>;

/** Windows as they were stored, also by an older build: a deployment lets nobody spend anything twice. */
export function storedWindows(stored: Readonly<Record<string, Slices | OlderSlices>>): Windows {
  return Object.fromEntries(
    Object.entries(stored).map(([name, slices]) => [name, isSlices(slices) ? slices : slicesOf(slices)]),
  );
}

function isSlices(slices: Slices | OlderSlices): slices is Slices {
  return Array.isArray(slices.units);
}

function slicesOf(older: OlderSlices): Slices {
  // Object keys that are integers come in ascending order (ECMA-262, OrdinaryOwnPropertyKeys): oldest first.
  return Object.entries(older).reduce<Slices>((slices, [at, units]) => charge(slices, Number(at), units), EMPTY);
}

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
  let isAllowed = true;
  for (const limit of limits) {
    const slices = recent(windows[limit.name] ?? EMPTY, limit, nowMs);
    current[limit.name] = slices;
    if (cost[limit.unit] > remaining(slices, limit)) isAllowed = false;
  }
  if (!isAllowed) {
    const standings = limits.map((limit) => standing(current[limit.name] ?? EMPTY, limit, cost[limit.unit], nowMs));
    const violated = standings.filter((of) => cost[of.limit.unit] > of.remaining);
    const isHopeless = violated.some(({ limit }) => cost[limit.unit] > limit.max);
    const retryAfterMs = isHopeless ? null : Math.max(...violated.map(({ resetMs }) => resetMs));
    return { kind: "denied", standings, violated, retryAfterMs, windows: current };
  }
  // Also what costs nothing yet: its price may be known only when it is corrected.
  for (const limit of limits) {
    const charged = charge(current[limit.name] ?? EMPTY, sliceAt(limit, nowMs), cost[limit.unit]);
    current[limit.name] = charged;
  }
  const standings = limits.map((limit) => standing(current[limit.name] ?? EMPTY, limit, 0, nowMs));
  return { kind: "allowed", standings, violated: [], retryAfterMs: 0, windows: current };
}

/** Every limit as it stands, without charging anything. */
export function look(windows: Windows, limits: readonly Limit[], nowMs: number): Standing[] {
  return limits.map((limit) => standing(recent(windows[limit.name] ?? EMPTY, limit, nowMs), limit, 0, nowMs));
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
    const slices = windows[limit.name] ?? EMPTY;
    const at = sliceAt(limit, atMs) - slices.first;
    const charged = slices.units[at];
    if (charged === undefined || difference[limit.unit] === 0) continue;
    const corrected = Math.max(0, charged + difference[limit.unit]);
    const sum = slices.sum + corrected - charged;
    changed[limit.name] = { first: slices.first, units: slices.units.with(at, corrected), sum };
  }
  return { ...windows, ...changed };
}

/** The clock never runs backwards: what comes before the first slice all the same is charged there. */
function charge({ first, units, sum }: Slices, slice: number, more: number): Slices {
  if (units.length === 0) return { first: slice, units: [more], sum: more };
  const at = Math.max(0, slice - first);
  if (at < units.length) return { first, units: units.with(at, (units[at] ?? 0) + more), sum: sum + more };
  const longer = units.slice();
  while (longer.length < at) longer.push(0);
  longer.push(more);
  return { first, units: longer, sum: sum + more };
}

function sliceAt(limit: Limit, nowMs: number): number {
  return Math.floor(nowMs / sliceMs(limit));
}

function sliceMs(limit: Limit): number {
  return limit.windowMs / SLICES;
}

/** The slices whose end has not left the window yet. */
function recent(slices: Slices, limit: Limit, nowMs: number): Slices {
  const { first, units, sum } = slices;
  let gone = 0;
  let goneUnits = 0;
  while (gone < units.length && leavesAtMs(first + gone, limit) <= nowMs) goneUnits += units[gone++] ?? 0;
  if (gone === 0) return slices;
  return { first: first + gone, units: units.slice(gone), sum: sum - goneUnits };
}

function leavesAtMs(slice: number, limit: Limit): number {
  return (slice + 1) * sliceMs(limit) + limit.windowMs;
}

function remaining({ sum }: Slices, { max }: Limit): number {
  return Math.max(0, max - sum);
}

/** @param wanted units that are asked for now: the reset is then when they would fit */
function standing(slices: Slices, limit: Limit, wanted: number, nowMs: number): Standing {
  const { first, units, sum } = slices;
  let toFree = Math.max(1, sum + wanted - limit.max);
  let resetMs = 0;
  for (let at = 0; at < units.length && toFree > 0; at++) {
    const here = units[at] ?? 0;
    if (here === 0) continue;
    toFree -= here;
    resetMs = Math.ceil(leavesAtMs(first + at, limit) - nowMs);
  }
  return { limit, remaining: remaining(slices, limit), resetMs };
}
