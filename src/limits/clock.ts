/**
 * A clock that never runs backwards, made from one that may. Pure.
 *
 * When the wall clock steps back, the offset grows by the step: what was counted keeps its age and goes on ageing at
 * the pace of real time, so a step of an hour neither admits anyone again nor locks anyone out for an hour.
 */
export type Clock = { readonly lastMs: number; readonly offsetMs: number };

export const NEW_CLOCK: Clock = { lastMs: 0, offsetMs: 0 };

/**
 * Reads the clock.
 *
 * @param clock the state after the reading before
 * @param wallMs the wall clock, ms since the epoch
 * @returns the state to keep; its `lastMs` is the time to decide by
 */
export function tick(clock: Clock, wallMs: number): Clock {
  const nowMs = wallMs + clock.offsetMs;
  if (nowMs >= clock.lastMs) return { lastMs: nowMs, offsetMs: clock.offsetMs };
  return { lastMs: clock.lastMs, offsetMs: clock.lastMs - wallMs };
}
