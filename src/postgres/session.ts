/** A connection for one invocation. Nothing here lives longer: I/O objects belong to the invocation that made them. */
import { Client } from "pg";

export type Session = Pick<Client, "query">;

const CONNECT_WITHIN_MS = 5_000;
/** A database that accepts and never answers must not hold a batch for long. */
const STATEMENT_WITHIN_MS = 10_000;
/** A batch that is split to find bad rows makes many statements. */
const ALL_WITHIN_MS = 60_000;
/** A goodbye that nobody hears is not waited for. */
const CLOSE_WITHIN_MS = 100;

export type Bounds = {
  readonly withinMs?: number;
  readonly connectWithinMs?: number;
  readonly statementWithinMs?: number;
};

/**
 * Runs work on a fresh connection and closes it.
 *
 * @param withinMs how long connecting and the work may take together
 * @param connectWithinMs how long connecting alone may take
 * @param statementWithinMs how long one statement may take
 * @throws what `pg` throws, and what the work throws; an Error when it takes too long, and whether what was under way
 *   then took effect is not known
 */
export async function inSession<T>(
  connectionString: string,
  work: (session: Session) => Promise<T>,
  {
    withinMs = ALL_WITHIN_MS,
    connectWithinMs = CONNECT_WITHIN_MS,
    statementWithinMs = STATEMENT_WITHIN_MS,
  }: Bounds = {},
): Promise<T> {
  const statementMs = Math.min(statementWithinMs, withinMs);
  const client = new Client({
    connectionString,
    connectionTimeoutMillis: Math.min(connectWithinMs, withinMs),
    query_timeout: statementMs,
    statement_timeout: statementMs,
    // Queries leave as they are made, without waiting for the answer to the one before.
    pipeline: true,
  });
  // Without a listener a connection that breaks while idle would end the invocation. Work that is under way fails by
  // itself, and after the work a socket that closes is no news.
  client.on("error", () => undefined);
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`the database took longer than ${withinMs} ms`)), withinMs);
  try {
    return await Promise.race([client.connect().then(() => work(client)), late.promise]);
  } finally {
    clearTimeout(timer);
    const closed = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_WITHIN_MS));
    await Promise.race([client.end().catch(() => undefined), closed]);
  }
}
