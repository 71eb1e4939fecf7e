/** Changing the schema of the database that all test files share, while others write there. */
import { env } from "cloudflare:workers";
import { inSession } from "#src/postgres/session.ts";

/** Less than the server waits before it looks for a deadlock (1 s), and then ends whichever session it likes. */
const LOCK_WITHIN_MS = 200;
const TRIES = 100;
/** Postgres's `lock_not_available`. */
const LOCKED = "55P03";

/** One transaction of statements; whoever else is at work has precedence. @throws what the database throws */
export async function ddl(text: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await inSession(env.HYPERDRIVE.connectionString, (session) =>
        session.query(`SET lock_timeout = ${LOCK_WITHIN_MS}; ${text}`),
      );
      return;
    } catch (cause) {
      if (tries === TRIES || !(cause instanceof Error) || Reflect.get(cause, "code") !== LOCKED) throw cause;
      await scheduler.wait(50);
    }
  }
}
