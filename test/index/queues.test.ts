import { createExecutionContext, createMessageBatch, getQueueResult, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test, vi } from "vitest";
import worker from "#src/index.ts";
import { inSession } from "#src/postgres/session.ts";
import { eventWith } from "#test/support/events.ts";

const query = async (text: string, ...values: unknown[]): Promise<Record<string, unknown>[]> =>
  (await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, values))).rows;

async function handle(queue: string, ...bodies: unknown[]) {
  const messages = bodies.map((body, at) => ({ id: `m${at}`, timestamp: new Date(), attempts: 1, body }));
  const batch = createMessageBatch(queue, messages);
  const context = createExecutionContext();
  await worker.queue(batch, env, context);
  return getQueueResult(batch, context);
}

describe.each(["usage", "usage-dlq"])("the queue %s", (queue) => {
  test("brings events into the ledger, and what is none into the dead letters", async () => {
    const [event, bad] = [eventWith(), eventWith({ attempts: -1 })];
    const result = await handle(queue, { event, outbox: null }, { event: bad, outbox: null });
    expect(result).toMatchObject({ outcome: "ok", explicitAcks: ["m0", "m1"], retryMessages: [] });
    expect(await query("SELECT id FROM inference_logs WHERE id = $1", event.id)).toHaveLength(1);
    expect(await query("SELECT queue FROM dead_letter WHERE id = $1", bad.id)).toEqual([{ queue }]);
  });

  test("acknowledges what came from an outbox that is not of ours", async () => {
    const event = eventWith();
    expect(await handle(queue, { event, outbox: "f".repeat(64) })).toMatchObject({ explicitAcks: ["m0"] });
  });
});

test("a queue that nobody reads is a fault", async () => {
  await expect(handle("toString", {})).rejects.toThrow();
  await expect(handle("unheard-of", {})).rejects.toThrow("unheard-of");
});

test("an account keeps an event until the ledger has it", async () => {
  const account = env.ACCOUNT.getByName(crypto.randomUUID());
  const event = eventWith();
  await account.settle(event);
  const kept = () =>
    runInDurableObject(account, (_, { storage }) => storage.sql.exec("SELECT id FROM outbox").toArray());
  expect(await kept()).toEqual([{ id: event.id }]);
  // By alarm, queue, consumer and back.
  await vi.waitFor(async () => expect(await kept()).toEqual([]), { timeout: 4_000, interval: 50 });
  expect(await query("SELECT id FROM inference_logs WHERE id = $1", event.id)).toHaveLength(1);
});
