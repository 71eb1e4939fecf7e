/** Asking Postgres for somebody who waits: an answer, or 503. One that is down is noticed within a second. */
import { inSession, type Session } from "#src/postgres/session.ts";
import { Problem } from "#src/problem.ts";
import type { KnownCall } from "./call.ts";

/** With a goodbye that nobody hears and the rest of the request, less than a second. */
const CONNECT_WITHIN_MS = 700;
const ANSWER_WITHIN_MS = 700;
const RETRY_AFTER_S = 5;
/** SQLSTATE classes of statements that are wrong: 22 data, 23 integrity, 42 syntax or access. Not the database's state. */
const OUR_FAULT = /^(22|23|42)/;

/**
 * Runs work on a connection of its own.
 *
 * @param withinMs how long connecting and the work may take together, for work that is known to be slow
 * @throws Problem `unavailable` when the database cannot be reached or is late; whatever else the work throws
 */
export async function askDatabase<T>(
  { env }: KnownCall,
  work: (session: Session) => Promise<T>,
  { withinMs = ANSWER_WITHIN_MS }: { readonly withinMs?: number } = {},
): Promise<T> {
  try {
    return await inSession(env.HYPERDRIVE.connectionString, work, { withinMs, connectWithinMs: CONNECT_WITHIN_MS });
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    if (cause instanceof Error && "code" in cause && OUR_FAULT.test(String(cause.code))) throw cause;
    const message = "The database cannot be reached, or is slow. Try again; inference is served meanwhile.";
    throw new Problem("unavailable", { message, retryAfterS: RETRY_AFTER_S, cause });
  }
}
