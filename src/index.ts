/** What the platform calls: requests, queue batches, the minute's cron; and the objects it keeps. */
import { reconcileApiKeys } from "./admin/api-key-reconcile.ts";
import { app } from "./app.ts";
import type { Env } from "./env.ts";
import { POOL } from "./fleet/watch.ts";
import { consume } from "./usage/consume.ts";

export { Fleet } from "./fleet/fleet.do.ts";
export { Account } from "./limits/account.do.ts";
export { Tenant } from "./limits/tenant.do.ts";

export default {
  fetch: app.fetch,
  queue: (batch, env) => consume(batch, env.HYPERDRIVE.connectionString, Date.now()),
  /** An alarm that failed too often is dropped by the platform: the cron sees that the probes go on. */
  async scheduled(_controller, env, context) {
    context.waitUntil(reconcileApiKeys(env, Date.now()));
    await env.FLEET.getByName(POOL).ensureProbing();
  },
} satisfies ExportedHandler<Env>;
