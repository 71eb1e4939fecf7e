/**
 * The pulse of a silent answer. workerd learns that a caller has left only from a write that fails, and TCP lets the
 * first write after a departure succeed: it is the second that fails. So each beat is two writes, shortly apart
 * (measured: with one write a beat, a departure was noticed after up to two beats).
 */

/** Long enough for the caller's side to answer the first write with a reset. */
const SECOND_WRITE_AFTER_MS = 200;
/** What is due at a time is late from the next millisecond on, which is as fine as the clock tells. */
const PAST_DUE_MS = 1;

/**
 * Calls `write` twice with every beat, and once more where something is due before the next one: no timer is armed while
 * all goes well, however often a deadline moves.
 *
 * @param leftMs in how many ms something is due, as of now
 * @returns stops it
 */
export function startHeartbeat(
  everyMs: number,
  write: () => void,
  leftMs: () => number = () => Number.POSITIVE_INFINITY,
): () => void {
  let isStopped = false;
  let second: ReturnType<typeof setTimeout> | null = null;
  let due: ReturnType<typeof setTimeout> | null = null;
  const look = (): void => {
    write();
    if (due !== null) clearTimeout(due);
    const ms = leftMs();
    if (!isStopped && ms < everyMs) due = setTimeout(look, ms + PAST_DUE_MS);
  };
  const beat = setInterval(() => {
    look();
    // Beats may be shorter than the time between the two: one second write waits at most.
    if (second !== null) clearTimeout(second);
    if (!isStopped) second = setTimeout(look, SECOND_WRITE_AFTER_MS);
  }, everyMs);
  return () => {
    isStopped = true;
    clearInterval(beat);
    if (second !== null) clearTimeout(second);
    if (due !== null) clearTimeout(due);
  };
}
