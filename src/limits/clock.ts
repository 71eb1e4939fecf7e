/**
 * A clock that never runs backwards, made from one that may. Pure.
 *
 * When the wall clock steps back, the offset grows by the step: what was counted keeps its age and goes on ageing at
 * the pace of real time, so a step of an hour neither admits anyone again nor locks anyone out for an hour. A leap ahead
 * is time that passed only if another machine's clock went along with it.
 */
export type Clock = {
  readonly lastMs: number;
  /** Against the wall clock. */
  readonly offsetMs: number;
  /** Against the clocks of the machines that ask: the least that was seen. Null while there was none. */
  readonly leadMs: number | null;
};

export const NEW_CLOCK: Clock = { lastMs: 0, offsetMs: 0, leadMs: null };

/** How much two machines' clocks, and the way from one to the other, may differ before it is taken for a leap. */
const AGREE_WITHIN_MS = 5_000;

/**
 * Reads the clock.
 *
 * @param clock the state after the reading before
 * @param wallMs the wall clock, ms since the epoch; of one machine, because the offset is against that one
 * @param askedAtMs the clock of the machine that asks; null when nobody does
 * @returns the state to keep; its `lastMs` is the time to decide by
 */
export function tick({ lastMs, offsetMs, leadMs }: Clock, wallMs: number, askedAtMs: number | null = null): Clock {
  const ranMs = Math.max(lastMs, wallMs + offsetMs);
  if (askedAtMs === null) return { lastMs: ranMs, offsetMs: ranMs - wallMs, leadMs };
  const expectedMs = askedAtMs + (leadMs ?? ranMs - askedAtMs);
  const isLeap = ranMs > expectedMs + AGREE_WITHIN_MS;
  // One that is behind what is known already bears nothing out, or time would stand still for it.
  const isBehind = lastMs > expectedMs + AGREE_WITHIN_MS;
  const nowMs = isLeap && !isBehind ? Math.max(lastMs, expectedMs) : ranMs;
  const seenMs = nowMs - askedAtMs;
  // It stepped back as well, or always was behind; the next one that is not puts that right.
  return { lastMs: nowMs, offsetMs: nowMs - wallMs, leadMs: isBehind ? seenMs : Math.min(leadMs ?? seenMs, seenMs) };
}
