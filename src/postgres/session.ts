/** A connection for one invocation. Nothing here lives longer: I/O objects belong to the invocation that made them. */
import { Client } from "pg";

export type Session = Pick<Client, "query">;

const CONNECT_WITHIN_MS = 5_000;
/** A database that accepts and never answers must not hold a batch for long. */
const STATEMENT_WITHIN_MS = 10_000;

export type SessionBound = {
  /** For connecting and all of the work together; where somebody waits for the answer. */
  readonly withinMs?: number;
};

/**
 * Runs work on a fresh connection and closes it.
 *
 * @throws what `pg` throws, and what the work throws; an Error when the bound is exceeded, and whether what was under
 *   way then took effect is not known
 */
export async function inSession<T>(
  connectionString: string,
  work: (session: Session) => Promise<T>,
  { withinMs }: SessionBound = {},
): Promise<T> {
  const client = new Client({
    connectionString,
    connectionTimeoutMillis: Math.min(CONNECT_WITHIN_MS, withinMs ?? CONNECT_WITHIN_MS),
    query_timeout: STATEMENT_WITHIN_MS,
    statement_timeout: STATEMENT_WITHIN_MS,
  });
  // Without a listener a connection that breaks while idle would end the invocation. Work that is under way fails by
  // itself, and after the work a socket that closes is no news.
  client.on("error", () => undefined);
  const running = connected(client, work);
  if (withinMs === undefined) return running;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const lapsed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the database did not answer within ${withinMs} ms`)), withinMs);
  });
  try {
    return await Promise.race([running, lapsed]);
  } catch (cause) {
    // Nobody awaits what still runs; ending the connection makes it fail.
    running.catch(() => undefined);
    client.end().catch(() => undefined);
    throw cause;
  } finally {
    clearTimeout(timer);
  }
}

async function connected<T>(client: Client, work: (session: Session) => Promise<T>): Promise<T> {
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
