/**
 * Which events of a flood are recorded: the first few of each source and of all together, within any minute. What is
 * left out is counted, and the next event that is recorded says how many. A pure reducer; the isolate keeps the state.
 */

/** One source's denials are plain after so many. */
const MOST_OF_ONE = 10;
/** Bounds what many sources together can put into the trail; an isolate sees a fraction of the traffic. */
const MOST_IN_ALL = 100;
const MINUTE_MS = 60_000;

export type Flood = {
  /** What was recorded within the last minute. */
  readonly recorded: readonly { readonly source: string; readonly atMs: number }[];
  /** Left out since the last recorded one, whoever they came from. */
  readonly suppressed: number;
};
export const NO_FLOOD: Flood = { recorded: [], suppressed: 0 };

/**
 * One more event.
 *
 * @param source whom it is counted against
 * @returns the state to keep; and how many were left out before this one, or null when this one is left out too
 */
export function sample(flood: Flood, source: string, nowMs: number): { flood: Flood; suppressed: number | null } {
  // A clock that was set back must not silence the trail until it has caught up.
  const recorded = flood.recorded.filter(({ atMs }) => Math.abs(nowMs - atMs) < MINUTE_MS);
  const ofSource = recorded.filter((event) => event.source === source).length;
  if (recorded.length >= MOST_IN_ALL || ofSource >= MOST_OF_ONE) {
    return { flood: { recorded, suppressed: flood.suppressed + 1 }, suppressed: null };
  }
  return {
    flood: { recorded: [...recorded, { source, atMs: nowMs }], suppressed: 0 },
    suppressed: flood.suppressed,
  };
}
