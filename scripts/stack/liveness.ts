/**
 * Tells a part that has stopped answering from one that is slow for a moment. Knows rhythm and counting, not what is
 * asked nor what follows from it.
 */
import { setTimeout as sleep } from "node:timers/promises";

export type Rhythm = {
  /** Between the end of one probe and the next. */
  readonly everyMs: number;
  /** How long a probe may take. */
  readonly limitMs: number;
  /** This many failures in a row are silence. */
  readonly failures: number;
};

/** A probe that ends this much after its limit was held up by us: the limit did not fire in time either. */
const OWN_DELAY_MS = 1_000;

/**
 * Probes until the part is silent.
 *
 * @param probe asks once, within the signal's time; what it throws is a failure
 * @param stop ends the watch
 * @returns true when the part is silent, false when the watch was ended
 */
export async function fallsSilent(
  probe: (signal: AbortSignal) => Promise<unknown>,
  { everyMs, limitMs, failures }: Rhythm,
  stop: AbortSignal,
): Promise<boolean> {
  for (let failed = 0; !stop.aborted; ) {
    await sleep(everyMs, undefined, { signal: stop, ref: false }).catch(() => {});
    const startedAt = performance.now();
    const answered = await probe(AbortSignal.any([stop, AbortSignal.timeout(limitMs)])).then(
      () => true,
      () => false,
    );
    if (answered) failed = 0;
    // A machine so busy that it does not run us on time proves nothing about the part.
    else if (performance.now() - startedAt < limitMs + OWN_DELAY_MS) failed += 1;
    if (failed === failures) return !stop.aborted;
  }
  return false;
}
