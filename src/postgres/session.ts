/** A connection for one invocation. Nothing here lives longer: I/O objects belong to the invocation that made them. */
import { Client } from "pg";

export type Session = Pick<Client, "query">;

const CONNECT_WITHIN_MS = 5_000;
/** A database that accepts and never answers must not hold a batch for long. */
const STATEMENT_WITHIN_MS = 10_000;

/**
 * Runs work on a fresh connection and closes it.
 *
 * @throws what `pg` throws, and what the work throws
 */
export async function inSession<T>(connectionString: string, work: (session: Session) => Promise<T>): Promise<T> {
  const client = new Client({
    connectionString,
    connectionTimeoutMillis: CONNECT_WITHIN_MS,
    query_timeout: STATEMENT_WITHIN_MS,
    statement_timeout: STATEMENT_WITHIN_MS,
  });
  // Without a listener a connection that breaks while idle would end the invocation. Work that is under way fails by
  // itself, and after the work a socket that closes is no news.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
