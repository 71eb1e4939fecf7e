/**
 * The pulse of a silent answer. workerd learns that a caller has left only from a write that fails, and TCP lets the
 * first write after a departure succeed: it is the second that fails. So each beat is two writes, shortly apart
 * (measured: with one write a beat, a departure was noticed after up to two beats).
 */

/** Long enough for the caller's side to answer the first write with a reset. */
const SECOND_WRITE_AFTER_MS = 200;

/**
 * Calls `write` twice with every beat.
 *
 * @returns stops it
 */
export function startHeartbeat(everyMs: number, write: () => void): () => void {
  let second: ReturnType<typeof setTimeout> | null = null;
  const beat = setInterval(() => {
    write();
    // Beats may be shorter than the time between the two: one second write waits at most.
    if (second !== null) clearTimeout(second);
    second = setTimeout(write, SECOND_WRITE_AFTER_MS);
  }, everyMs);
  return () => {
    clearInterval(beat);
    if (second !== null) clearTimeout(second);
  };
}
