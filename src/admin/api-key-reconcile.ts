/**
 * The minute's look at API keys: what the database knows and the edge may not is told again, because a request that
 * changed a key can die between the two. Runs beside requests, from the cron.
 */
import type { Env } from "#src/env.ts";
import { type ApiKey, keysToTell, noteTold, withdrawUndelivered } from "#src/postgres/api-keys.ts";
import { inSession } from "#src/postgres/session.ts";
import { tellEdge } from "./api-key-edge.ts";

/** A key that nobody was shown by then never will be: no request lives that long. */
const DELIVERED_WITHIN_MS = 5 * 60_000;
/** Two changes at once may reach KV in the wrong order; for this long every change is told anew. */
const TOLD_AGAIN_FOR_MS = 3_600_000;
/** Two operations each; the platform allows a thousand per invocation. */
const MAX_KEYS = 200;
/** The cron must not pile up. */
const DATABASE_WITHIN_MS = 10_000;

/** Tells the edge. Never throws: what fails is logged, and tried again by the next minute. */
export async function reconcileApiKeys(
  env: Pick<Env, "KV" | "ACCOUNT" | "CHAT_SOCKET" | "HYPERDRIVE">,
  nowMs: number,
): Promise<void> {
  const bound = { withinMs: DATABASE_WITHIN_MS };
  try {
    const keys = await inSession(
      env.HYPERDRIVE.connectionString,
      async (session) => {
        await withdrawUndelivered(session, nowMs - DELIVERED_WITHIN_MS, nowMs);
        return keysToTell(session, nowMs - TOLD_AGAIN_FOR_MS, MAX_KEYS, nowMs);
      },
      bound,
    );
    const heard = await tellAll(keys, env, nowMs);
    if (heard.length > 0)
      await inSession(env.HYPERDRIVE.connectionString, (session) => noteTold(session, heard), bound);
  } catch (cause) {
    report({ cause: String(cause) });
  }
}

/** One key's failure is not the others'. */
async function tellAll(
  keys: readonly ApiKey[],
  env: Pick<Env, "KV" | "ACCOUNT" | "CHAT_SOCKET">,
  nowMs: number,
): Promise<readonly ApiKey[]> {
  const heard: ApiKey[] = [];
  for (const key of keys) {
    try {
      await tellEdge(key, env, nowMs);
      heard.push(key);
    } catch (cause) {
      report({ keyId: key.id, cause: String(cause) });
    }
  }
  return heard;
}

function report(facts: Readonly<Record<string, string>>): void {
  console.error(JSON.stringify({ at: "api-keys.reconcile", ...facts }));
}
