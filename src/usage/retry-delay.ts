/** When a message is tried again. Pure. */

const DELAY_S = { first: 5, last: 1_800 };
/** What the platform allows is delayed by up to this share less, so that a batch that failed does not return as one. */
const JITTER = 0.25;

/**
 * Delays double from 5 s to half an hour. With the 100 retries of wrangler.toml they span more than a day of outage.
 *
 * @param attempts deliveries so far, this one included
 * @param chance 0 to 1
 * @returns whole seconds
 */
export function retryDelayS(attempts: number, chance: number): number {
  const wholeS = Math.min(DELAY_S.last, DELAY_S.first * 2 ** (attempts - 1));
  return Math.round(wholeS * (1 - JITTER * chance));
}
