/** The outside of jobs as the platform gives it: the database, hosts as requests reach them, and Account objects. */
import { accountOfKey } from "#src/auth/api-key.ts";
import { readBounded } from "#src/bytes.ts";
import { readCatalog } from "#src/catalog/load.ts";
import type { Host } from "#src/catalog/schema.ts";
import type { Env } from "#src/env.ts";
import { inSession } from "#src/postgres/session.ts";
import { reach } from "#src/upstream/reach.ts";
import { within } from "#src/within.ts";
import type { Surroundings } from "./run.ts";

/** What takes longer is asked for again: by the next minute's cron, or by a person who is told. */
const LOCK_WITHIN_MS = 2_000;
const ACCOUNT_WITHIN_MS = 5_000;
const EXPOSITION_WITHIN_MS = 10_000;
/** vLLM's is 100 KB with a few models. */
const MAX_EXPOSITION_BYTES = 8 * 1024 * 1024;

/** What jobs may reach, with these bindings. */
export function surroundingsOf(env: Env): Surroundings {
  return {
    now: Date.now,
    wait: (ms) => scheduler.wait(ms),
    connect: (work, bounds) => inSession(env.HYPERDRIVE.connectionString, work, bounds),
    lockWithinMs: LOCK_WITHIN_MS,
    hosts: async () => {
      const { catalog, reached, refused } = await readCatalog(env.KV);
      if (!reached || refused.length > 0) throw new Error("the catalog in force cannot be read");
      return catalog.hosts;
    },
    expositionOf: (host) => expositionOf(host, env),
    totalsOf: (account) => within(ACCOUNT_WITHIN_MS, env.ACCOUNT.getByName(account).totals()),
    accountOfKey,
  };
}

async function expositionOf(host: Host, env: Env): Promise<string> {
  const signal = AbortSignal.timeout(EXPOSITION_WITHIN_MS);
  const response = await reach(host, env, fetch)("/metrics", { method: "GET", signal });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`GET /metrics answers ${response.status}`);
  }
  const bytes = await readBounded(response, MAX_EXPOSITION_BYTES);
  if (bytes === null) throw new Error(`GET /metrics answers more than ${MAX_EXPOSITION_BYTES} bytes`);
  return new TextDecoder().decode(bytes);
}
