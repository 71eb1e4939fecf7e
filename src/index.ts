/** What the platform calls: requests, queue batches, the minute's cron; and the objects it keeps. */
import { reconcileApiKeys } from "./admin/api-key-reconcile.ts";
import { app } from "./app.ts";
import type { Env } from "./env.ts";
import { POOL } from "./fleet/watch.ts";
import { consumeBatches } from "./ingress/batch-queue.ts";
import { consumeJobs } from "./jobs/consume.ts";
import { enqueueDueJobs } from "./jobs/enqueue.ts";
import { consume, consumeExhausted, type Surroundings } from "./usage/consume.ts";
import { within } from "./within.ts";

export { Ticket } from "./auth/ticket.do.ts";
export { Batches } from "./batches/batches.do.ts";
export { Fleet } from "./fleet/fleet.do.ts";
export { ChatSocket } from "./ingress/chat-socket.do.ts";
export { Resumable } from "./ingress/resumable/resumable.do.ts";
export { Account } from "./limits/account.do.ts";
export { Tenant } from "./limits/tenant.do.ts";

/** An account that does not answer sends its events again; it must not hold the batch. */
const ACKNOWLEDGE_WITHIN_MS = 5_000;

type Consumer = (batch: MessageBatch, env: Env, context: Pick<ExecutionContext, "waitUntil">) => Promise<void>;
/** Who reads which queue of wrangler.toml. */
const CONSUMERS: ReadonlyMap<string, Consumer> = new Map<string, Consumer>([
  ["usage", (batch, env) => consume(batch, ledgerOf(env))],
  ["usage-dlq", (batch, env) => consumeExhausted(batch, ledgerOf(env))],
  ["jobs", consumeJobs],
  ["batches", (batch, env, context) => consumeBatches(batch, env, (work) => context.waitUntil(work))],
]);

export default {
  fetch: app.fetch,
  async queue(batch, env, context) {
    const consumer = CONSUMERS.get(batch.queue);
    if (consumer === undefined) throw new Error(`nobody reads the queue ${batch.queue}`);
    await consumer(batch, env, context);
  },
  /** An alarm that failed too often is dropped by the platform: the cron sees that the probes go on. */
  async scheduled(_controller, env, context) {
    context.waitUntil(reconcileApiKeys(env, Date.now()));
    context.waitUntil(enqueueDueJobs(env, Date.now()));
    await env.FLEET.getByName(POOL).ensureProbing();
  },
} satisfies ExportedHandler<Env>;

function ledgerOf(env: Env): Surroundings {
  return {
    connectionString: env.HYPERDRIVE.connectionString,
    acknowledge: async (outbox, ids) => {
      const account = env.ACCOUNT.get(env.ACCOUNT.idFromString(outbox));
      await within(ACKNOWLEDGE_WITHIN_MS, account.acknowledge(ids));
    },
    now: Date.now,
    random: Math.random,
  };
}
