// What the storm does to the ledger's queue is what a queue may really do, and nothing else.
import { describe, expect, test } from "vitest";
import { type Batch, type Delivery, type Done, mischievous } from "#scripts/storm/mischief.ts";

/** A batch of so many messages, and what the platform hears of them. */
function batchOf(count: number, queue = "usage") {
  const heard: string[] = [];
  const messages = Array.from({ length: count }, (_, at): Delivery => {
    const id = `m${at}`;
    return {
      id,
      body: { at },
      attempts: 3,
      ack: () => heard.push(`${id} ack`),
      retry: (options) => heard.push(`${id} retry ${options?.delaySeconds}`),
    };
  });
  return { batch: { queue, messages }, heard };
}

function play(chances: { duplicates: number; crashes: number }, consume: (batch: Batch) => Promise<void>) {
  const told: Done[] = [];
  const consumer = mischievous<null>(
    consume,
    () => chances,
    () => 0.5,
    (done) => told.push(done),
  );
  return { consumer: (batch: Batch) => consumer(batch, null), told };
}

const NEVER = { duplicates: 0, crashes: 0 };
const acknowledge = async ({ messages }: Batch): Promise<void> => {
  for (const message of messages) message.ack();
};

test("without chances everything passes as it came", async () => {
  const seen: Batch[] = [];
  const { consumer, told } = play(NEVER, async (batch) => {
    seen.push(batch);
    await acknowledge(batch);
  });
  const { batch, heard } = batchOf(2);
  await consumer(batch);
  expect(seen).toEqual([batch]);
  expect(heard).toEqual(["m0 ack", "m1 ack"]);
  expect(told).toEqual([{ deliveries: 2, duplicates: 0, crashed: false }]);
});

test("other queues are left alone", async () => {
  const { consumer, told } = play({ duplicates: 1, crashes: 1 }, acknowledge);
  const { batch, heard } = batchOf(1, "jobs");
  await consumer(batch);
  expect(heard).toEqual(["m0 ack"]);
  expect(told).toEqual([]);
});

test("a message comes twice, within a batch or in two at once, and is heard of once", async () => {
  const seen: string[][] = [];
  const { consumer, told } = play({ duplicates: 1, crashes: 0 }, async (batch) => {
    seen.push(batch.messages.map(({ id, attempts }) => `${id} ${attempts}`));
    await acknowledge(batch);
  });
  const { batch, heard } = batchOf(2);
  await consumer(batch);
  expect(seen).toEqual([["m0 3", "m1 3", "m0 3"], ["m1 3"]]);
  expect(heard).toEqual(["m0 ack", "m1 ack"]);
  expect(told).toEqual([{ deliveries: 2, duplicates: 2, crashed: false }]);
});

describe("a consumer that dies", () => {
  test("does so at its first acknowledgement: none is heard, and the batch comes again", async () => {
    const calls: string[] = [];
    const { consumer, told } = play({ duplicates: 0, crashes: 1 }, async ({ messages }) => {
      try {
        for (const message of messages) {
          calls.push(message.id);
          message.ack();
        }
      } catch {
        for (const message of messages) message.retry({ delaySeconds: 5 });
      }
    });
    const { batch, heard } = batchOf(2);
    await expect(consumer(batch)).rejects.toThrow("died");
    expect(calls).toEqual(["m0"]);
    expect(heard).toEqual([]);
    expect(told).toEqual([{ deliveries: 2, duplicates: 0, crashed: true }]);
  });

  test("lives when it has nothing to acknowledge", async () => {
    const { consumer, told } = play({ duplicates: 0, crashes: 1 }, async ({ messages }) => {
      for (const message of messages) message.retry({ delaySeconds: 5 });
    });
    const { batch, heard } = batchOf(1);
    await consumer(batch);
    expect(heard).toEqual(["m0 retry 5"]);
    expect(told).toEqual([{ deliveries: 1, duplicates: 0, crashed: false }]);
  });
});
