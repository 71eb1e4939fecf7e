/**
 * A clock that never runs backwards, made from one that may. Pure.
 *
 * When the wall clock steps back, the offset grows by the step: what was counted keeps its age and goes on ageing at
 * the pace of real time, so a step of an hour neither admits anyone again nor locks anyone out for an hour. A leap ahead
 * is time that passed, as far as another clock bears it out.
 */
export type Clock = { readonly lastMs: number; readonly offsetMs: number };

export const NEW_CLOCK: Clock = { lastMs: 0, offsetMs: 0 };

/**
 * Reads the clock.
 *
 * @param clock the state after the reading before
 * @param wallMs the wall clock, ms since the epoch; of one machine, because the offset is against that one
 * @param notAfterMs what another machine's clock bears out: a leap beyond it becomes part of the offset too. One that
 *   this clock has passed already bears nothing out
 * @returns the state to keep; its `lastMs` is the time to decide by
 */
export function tick(clock: Clock, wallMs: number, notAfterMs = Number.POSITIVE_INFINITY): Clock {
  const nowMs = wallMs + clock.offsetMs;
  if (nowMs < clock.lastMs) return { lastMs: clock.lastMs, offsetMs: clock.lastMs - wallMs };
  if (nowMs > notAfterMs && clock.lastMs <= notAfterMs) return { lastMs: notAfterMs, offsetMs: notAfterMs - wallMs };
  return { lastMs: nowMs, offsetMs: clock.offsetMs };
}
