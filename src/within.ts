/** A bound on waiting for what may never come. Imports nothing. */

/**
 * What work yields, if it does so in time. The work itself goes on.
 *
 * @throws Error when it takes longer than `ms`, and whatever the work throws
 */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const stop = new AbortController();
  try {
    return await Promise.race([
      work,
      scheduler.wait(ms, { signal: stop.signal }).then(() => {
        throw new Error(`no answer within ${ms} ms`);
      }),
    ]);
  } finally {
    stop.abort();
  }
}

/** What work yields within this time; null when it is still under way. Rejects as the work does. */
export async function before<T>(ms: number, work: Promise<T>): Promise<T | null> {
  const stop = new AbortController();
  const waited = scheduler.wait(ms, { signal: stop.signal }).then(
    () => null,
    () => null,
  );
  try {
    return await Promise.race([work, waited]);
  } finally {
    stop.abort();
  }
}
