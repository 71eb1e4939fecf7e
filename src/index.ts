/** What the platform calls: requests, queue batches, the minute's cron; and the objects it keeps. */
import { reconcileApiKeys } from "./admin/api-key-reconcile.ts";
import { app } from "./app.ts";
import type { Env } from "./env.ts";
import { POOL } from "./fleet/watch.ts";
import { consumeJobs } from "./jobs/consume.ts";
import { enqueueDueJobs } from "./jobs/enqueue.ts";
import { consume } from "./usage/consume.ts";

export { Fleet } from "./fleet/fleet.do.ts";
export { Account } from "./limits/account.do.ts";
export { Tenant } from "./limits/tenant.do.ts";

/** Who reads which queue of wrangler.toml. */
const CONSUMERS: Readonly<Record<string, (batch: MessageBatch, env: Env) => Promise<void>>> = {
  usage: (batch, env) => consume(batch, env.HYPERDRIVE.connectionString, Date.now()),
  jobs: consumeJobs,
};

export default {
  fetch: app.fetch,
  async queue(batch, env) {
    const consumer = CONSUMERS[batch.queue];
    if (consumer === undefined) throw new Error(`nobody reads the queue ${batch.queue}`);
    await consumer(batch, env);
  },
  /** An alarm that failed too often is dropped by the platform: the cron sees that the probes go on. */
  async scheduled(_controller, env, context) {
    context.waitUntil(reconcileApiKeys(env, Date.now()));
    context.waitUntil(enqueueDueJobs(env, Date.now()));
    await env.FLEET.getByName(POOL).ensureProbing();
  },
} satisfies ExportedHandler<Env>;
