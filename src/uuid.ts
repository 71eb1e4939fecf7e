/** Ids that sort by time. Imports nothing. */

/**
 * A UUIDv7 (RFC 9562, 5.7): 48 bits of ms since the epoch before 74 random ones. These are the platform's own random UUID's,
 * which makes it natively: a package's took a third of what happens to every request alike (by profile).
 *
 * @param nowMs ms since the epoch, until the year 10889
 */
export function uuidv7(nowMs: number): string {
  const time = nowMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}
