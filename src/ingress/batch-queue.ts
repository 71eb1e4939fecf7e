/** The consumer of the queue `batches`: for each message, lines of that batch for a while. */
import { z } from "zod";
import { lanesFor, runSlice } from "#src/batches/slice.ts";
import type { Env } from "#src/env.ts";
import { askLine } from "./batch-line.ts";
import type { Call } from "./call.ts";

const message = z.object({ v: z.literal(1), account: z.string(), batch: z.string() });

/**
 * Acknowledges every message: a batch that was not helped calls again by its alarm, so nothing is lost with a message.
 *
 * @param defer keeps the work of an answered line alive
 */
export async function consumeBatches(
  deliveries: { readonly messages: readonly Pick<Message<unknown>, "body" | "ack">[] },
  env: Env,
  defer: Call["defer"],
): Promise<void> {
  // A batch's order may allow fewer.
  const lanes = lanesFor(deliveries.messages.length);
  await Promise.all(
    deliveries.messages.map(async (delivery) => {
      try {
        const { account, batch } = message.parse(delivery.body);
        await runBatch(account, batch, lanes, env, defer);
      } catch (cause) {
        console.error(JSON.stringify({ at: "batches.consume", cause: String(cause) }));
      }
      delivery.ack();
    }),
  );
}

async function runBatch(account: string, batch: string, lanes: number, env: Env, defer: Call["defer"]): Promise<void> {
  const id = env.BATCHES.idFromString(account);
  // A stub is broken after a failure, so each call has its own.
  const shelf = () => env.BATCHES.get(id);
  await runSlice(
    {
      claim: () => shelf().claim(batch),
      renew: ({ line, requestId }) => shelf().renew(batch, line, requestId),
      run: (line, signal) => askLine(line, env, defer, signal),
      report: ({ line, requestId }, answered) => shelf().report(batch, line, requestId, answered),
      rest: (hasMore) => shelf().rest(batch, hasMore),
      now: Date.now,
    },
    lanes,
  );
}
