import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { Outbox, type Pace } from "#src/limits/outbox.ts";
import type { InferenceEvent, UsageEvent, UsageMessage } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";

const START_MS = 1_790_000_000_000;
const NAME = "0123456789abcdef";
const MINUTE_MS = 60_000;
/** What the platform takes at once, and as one message (Queues, limits): in bytes of JSON. */
const LARGEST = { batch: 256_000, message: 128_000, messages: 100 };

const bytesOf = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).byteLength;

/** A queue that keeps what it takes; `before` runs while a batch is on its way, and may refuse it. */
class TestQueue {
  readonly batches: UsageMessage[][] = [];
  before: (messages: readonly UsageMessage[]) => void = () => undefined;

  async sendBatch(messages: Iterable<MessageSendRequest<UsageMessage>>): Promise<QueueSendBatchResponse> {
    const bodies = Array.from(messages, ({ body }) => body);
    await Promise.resolve();
    this.before(bodies);
    this.batches.push(bodies);
    return { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } };
  }

  get ids(): string[][] {
    return this.batches.map((batch) => batch.map(({ event }) => event.id));
  }
}

type World = {
  readonly outbox: Outbox;
  readonly queue: TestQueue;
  readonly sql: SqlStorage;
  nowMs: number;
  /** Another instance over the same storage. */
  anew(pace?: Pace): Outbox;
  settle(event: UsageEvent): void;
  send(outbox?: Outbox): Promise<void>;
  rows(): string[];
};

/** An outbox of its own, over a Durable Object's storage. */
function inStorage(work: (world: World) => Promise<void> | void): Promise<void> {
  return runInDurableObject(env.ACCOUNT.getByName(crypto.randomUUID()), async (_instance, { storage: { sql } }) => {
    const queue = new TestQueue();
    const anew = (pace?: Pace) => new Outbox(sql, queue, NAME, world.nowMs, pace);
    const world: World = {
      outbox: new Outbox(sql, queue, NAME, START_MS),
      queue,
      sql,
      nowMs: START_MS,
      anew,
      settle(event) {
        world.outbox.note({ id: event.id, hold: null, event }, world.nowMs);
        world.outbox.write();
      },
      send: (outbox = world.outbox) => outbox.send(() => world.nowMs),
      rows: () => Array.from(sql.exec<{ id: string }>("SELECT id FROM outbox ORDER BY id"), ({ id }) => id),
    };
    await work(world);
  });
}

/** Events with ids in ascending order. */
function events(count: number, changed: Partial<InferenceEvent> = {}): InferenceEvent[] {
  return Array.from({ length: count }, (_, at) =>
    eventWith({ id: `00000000-0000-7000-8000-${String(at).padStart(12, "0")}`, ...changed }),
  );
}

describe("the rows of open leases", () => {
  test("are kept with what the lease holds, are not sent, and are found by the next instance", () =>
    inStorage(async ({ outbox, anew, queue, send }) => {
      const event = eventWith({ outcome: "abandoned", userId: 'ü"\\\u0000', model: "\ud83d\ude00 l/m" });
      outbox.note({ id: event.id, hold: '{"slots":["a\\"b"]}', event }, START_MS);
      expect(outbox.openRows()).toEqual([]);
      outbox.write();
      const next = anew();
      expect(next.openRows()).toEqual([{ id: event.id, hold: '{"slots":["a\\"b"]}', event }]);
      expect([outbox.nextDueAtMs(), next.nextDueAtMs()]).toEqual([null, null]);
      await send();
      expect(queue.batches).toEqual([]);
    }));

  test("become the settled event's", () =>
    inStorage(({ outbox, settle, rows, anew }) => {
      const event = eventWith({ outcome: "abandoned" });
      outbox.note({ id: event.id, hold: "{}", event }, START_MS);
      outbox.write();
      const ended = { ...event, outcome: "complete" as const };
      settle(ended);
      expect(outbox.openRows()).toEqual([]);
      expect(rows()).toEqual([event.id]);
      expect(anew().settled(event.id)).toEqual(ended);
    }));

  test("are no settled events, and are not acknowledged", () =>
    inStorage(({ outbox, rows }) => {
      const event = eventWith();
      outbox.note({ id: event.id, hold: "{}", event }, START_MS);
      outbox.write();
      expect(outbox.settled(event.id)).toBeUndefined();
      outbox.acknowledge([event.id]);
      expect(rows()).toEqual([event.id]);
    }));
});

describe("a settled event", () => {
  test("leaves a second later, says whose it is, and stays until it is acknowledged", () =>
    inStorage(async (world) => {
      const event = eventWith();
      world.settle(event);
      expect(world.outbox.nextDueAtMs()).toBe(START_MS + 1_000);
      world.nowMs += 999;
      await world.send();
      expect(world.queue.batches).toEqual([]);
      world.nowMs += 1;
      await world.send();
      expect(world.queue.batches).toEqual([[{ event, outbox: NAME }]]);
      expect(world.rows()).toEqual([event.id]);
      expect(world.outbox.acknowledge([event.id, "unknown"])).toBe(true);
      expect(world.outbox.acknowledge([event.id])).toBe(false);
      // With the next write, whatever it is for.
      expect(world.rows()).toEqual([event.id]);
      world.outbox.write();
      expect(world.rows()).toEqual([]);
      expect(world.outbox.nextDueAtMs()).toBeNull();
      expect(world.outbox.settled(event.id)).toBeUndefined();
    }));

  test("is known before it is written, and not sent before", () =>
    inStorage(async ({ outbox, queue }) => {
      const event = eventWith();
      outbox.note({ id: event.id, hold: null, event }, START_MS);
      expect(outbox.settled(event.id)).toEqual(event);
      await outbox.send(() => START_MS + 1_000);
      expect(queue.batches).toEqual([]);
      outbox.write();
      await outbox.send(() => START_MS + 1_000);
      expect(queue.ids).toEqual([[event.id]]);
    }));

  test("that nobody acknowledges is sent again, after twice as long each time, an hour at most", () =>
    inStorage(async (world) => {
      world.settle(eventWith());
      const waitsMs: number[] = [];
      for (let sends = 0; sends < 8; sends++) {
        const dueAtMs = world.outbox.nextDueAtMs() ?? Number.NaN;
        waitsMs.push(dueAtMs - world.nowMs);
        world.nowMs = dueAtMs - 1;
        await world.send();
        expect(world.queue.batches).toHaveLength(sends);
        world.nowMs = dueAtMs;
        await world.send();
      }
      expect(waitsMs).toEqual([1_000, ...[2, 4, 8, 16, 32, 60, 60].map((minutes) => minutes * MINUTE_MS)]);
    }));

  test("is sent again after as long as it was told", () =>
    inStorage(async (world) => {
      const event = eventWith();
      world.settle(event);
      const outbox = world.anew({ resendAfterMs: 40 });
      const dueMs: number[] = [];
      for (let sends = 0; sends < 4; sends++) {
        world.nowMs = outbox.nextDueAtMs() ?? Number.NaN;
        await world.send(outbox);
        dueMs.push((outbox.nextDueAtMs() ?? Number.NaN) - world.nowMs);
      }
      expect(dueMs).toEqual([40, 80, 160, 320]);
      expect(world.queue.ids).toEqual(Array<string[]>(4).fill([event.id]));
    }));

  test("waits for others as long as it was told", () =>
    inStorage((world) => {
      const outbox = world.anew({ sendAfterMs: 7 });
      outbox.note({ id: eventWith().id, hold: null, event: eventWith() }, world.nowMs);
      expect(outbox.nextDueAtMs()).toBe(world.nowMs + 7);
    }));

  test("is sent again by the next instance, which cannot know whether it was", () =>
    inStorage(async (world) => {
      const event = eventWith();
      world.settle(event);
      world.nowMs += 1_000;
      await world.send();
      const next = world.anew();
      expect(next.nextDueAtMs()).toBe(world.nowMs + 1_000);
      world.nowMs += 1_000;
      await world.send(next);
      expect(world.queue.batches).toEqual([[{ event, outbox: NAME }], [{ event, outbox: NAME }]]);
    }));
});

describe("while a batch is on its way", () => {
  test("what is settled anew stays, and leaves again", () =>
    inStorage(async (world) => {
      const event = eventWith({ outcome: "abandoned" });
      const anew = { ...event, outcome: "complete" as const };
      world.settle(event);
      world.nowMs += 1_000;
      world.queue.before = () => {
        world.queue.before = () => undefined;
        world.settle(anew);
      };
      await world.send();
      world.nowMs = world.outbox.nextDueAtMs() ?? Number.NaN;
      expect(world.nowMs).toBe(START_MS + 2_000);
      await world.send();
      expect(world.queue.batches.flat().map(({ event: sent }) => sent)).toEqual([event, anew]);
    }));

  test("what is settled anew, and not yet written, leaves again", () =>
    inStorage(async (world) => {
      const event = eventWith({ outcome: "abandoned" });
      const anew = { ...event, outcome: "complete" as const };
      world.settle(event);
      world.nowMs += 1_000;
      world.queue.before = () => world.outbox.note({ id: event.id, hold: null, event: anew }, world.nowMs);
      await world.send();
      world.outbox.write();
      world.nowMs += 1_000;
      await world.send();
      expect(world.queue.batches.flat().map(({ event: sent }) => sent)).toEqual([event, anew]);
    }));

  test("what is acknowledged is gone, and not sent again", () =>
    inStorage(async (world) => {
      const event = eventWith();
      world.settle(event);
      world.nowMs += 1_000;
      world.queue.before = () => world.outbox.acknowledge([event.id]);
      await world.send();
      world.outbox.write();
      expect(world.outbox.nextDueAtMs()).toBeNull();
      expect(world.rows()).toEqual([]);
    }));
});

test("what is acknowledged before it was written anew does not come back", () =>
  inStorage(({ outbox, settle, rows }) => {
    const event = eventWith();
    settle(event);
    outbox.note({ id: event.id, hold: null, event: { ...event, outcome: "client_left" } }, START_MS);
    outbox.acknowledge([event.id]);
    outbox.write();
    expect(rows()).toEqual([]);
  }));

test("what is acknowledged, and settled anew before it was deleted, stays", () =>
  inStorage(({ outbox, settle, rows, anew }) => {
    const event = eventWith();
    settle(event);
    outbox.acknowledge([event.id]);
    settle({ ...event, outcome: "client_left" });
    expect(rows()).toEqual([event.id]);
    expect(anew().settled(event.id)).toMatchObject({ outcome: "client_left" });
  }));

test("a deletion that fails, or is lost with its instance, costs a second delivery and no more", () =>
  inStorage(async (world) => {
    const event = eventWith();
    world.settle(event);
    world.outbox.acknowledge([event.id]);
    world.sql.exec("CREATE TRIGGER fails BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'disk'); END");
    expect(() => world.outbox.write()).toThrow("disk");
    const next = world.anew();
    world.nowMs += 1_000;
    await world.send(next);
    expect(world.queue.ids).toEqual([[event.id]]);
    world.sql.exec("DROP TRIGGER fails");
    world.outbox.write();
    expect(world.rows()).toEqual([]);
  }));

test("what is released is deleted with the next write, and what is settled is not released", () =>
  inStorage(({ outbox, settle, rows }) => {
    const [open, ended] = events(2);
    if (open === undefined || ended === undefined) throw new Error("no events");
    outbox.note({ id: open.id, hold: "{}", event: open }, START_MS);
    settle(ended);
    for (const { id } of [open, ended]) outbox.forget(id);
    expect(rows()).toEqual([open.id, ended.id]);
    outbox.write();
    expect(rows()).toEqual([ended.id]);
  }));

describe("batches", () => {
  test("hold a hundred messages at most, and nothing is left out or sent twice", () =>
    inStorage(async (world) => {
      const many = events(250);
      for (const event of many) world.outbox.note({ id: event.id, hold: null, event }, START_MS);
      world.outbox.write();
      world.nowMs += 1_000;
      await world.send();
      expect(world.queue.batches.map(({ length }) => length)).toEqual([100, 100, 50]);
      expect(world.queue.ids.flat().sort()).toEqual(many.map(({ id }) => id));
      world.outbox.acknowledge(many.map(({ id }) => id));
      world.outbox.write();
      expect(world.rows()).toEqual([]);
    }));

  test("hold as many bytes as the platform takes at most, whatever they hold", () =>
    inStorage(async (world) => {
      const content = { prompt: "日".repeat(16_384), response: "é".repeat(16_384) };
      for (const event of events(20, { content })) world.outbox.note({ id: event.id, hold: null, event }, START_MS);
      world.outbox.write();
      world.nowMs += 1_000;
      await world.send();
      expect(Math.max(...world.queue.batches.map(bytesOf))).toBeLessThanOrEqual(LARGEST.batch);
      expect(world.queue.batches.flat()).toHaveLength(20);
      expect(world.queue.batches.length).toBeLessThan(20);
    }));

  test("a message that the queue would never take leaves without its content, and holds up no other", () =>
    inStorage(async (world) => {
      // Control characters are six bytes of JSON each.
      const content = { prompt: "\u0001".repeat(16_384), response: "日".repeat(16_384) };
      const [long, short] = events(2);
      if (long === undefined || short === undefined) throw new Error("no events");
      world.queue.before = (messages) => {
        for (const message of messages) if (bytesOf(message) > LARGEST.message) throw new Error("message too large");
      };
      world.settle({ ...long, content });
      world.settle(short);
      world.nowMs += 1_000;
      await world.send();
      expect(world.queue.batches.flat().map(({ event }) => event)).toEqual([long, short]);
    }));
});

describe("a queue that fails", () => {
  test("is tried again, later each time, a minute at most; every row stays, and leaves when it is back", () =>
    inStorage(async (world) => {
      const [event, other] = events(2);
      if (event === undefined || other === undefined) throw new Error("no events");
      world.settle(event);
      world.queue.before = () => {
        throw new Error("queue is down");
      };
      const waitsMs: number[] = [];
      for (let failures = 0; failures < 8; failures++) {
        world.nowMs = world.outbox.nextDueAtMs() ?? Number.NaN;
        await expect(world.send()).rejects.toThrow("queue is down");
        waitsMs.push((world.outbox.nextDueAtMs() ?? Number.NaN) - world.nowMs);
      }
      expect(waitsMs).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1_000));
      expect(world.rows()).toEqual([event.id]);

      world.queue.before = () => undefined;
      world.nowMs = world.outbox.nextDueAtMs() ?? Number.NaN;
      await world.send();
      expect(world.queue.ids).toEqual([[event.id]]);
      // And the next failure is a first one again.
      world.settle(other);
      world.nowMs += 1_000;
      world.queue.before = () => {
        throw new Error("queue is down");
      };
      await expect(world.send()).rejects.toThrow("queue is down");
      expect(world.outbox.nextDueAtMs()).toBe(world.nowMs + 1_000);
    }));

  test("in the middle keeps what it did not take, and that alone", () =>
    inStorage(async (world) => {
      for (const event of events(150)) world.outbox.note({ id: event.id, hold: null, event }, START_MS);
      world.outbox.write();
      world.nowMs += 1_000;
      world.queue.before = () => {
        if (world.queue.batches.length === 1) throw new Error("queue is down");
      };
      await expect(world.send()).rejects.toThrow("queue is down");
      world.queue.before = () => undefined;
      world.nowMs += 1_000;
      await world.send();
      expect(world.queue.batches.map(({ length }) => length)).toEqual([100, 50]);
      expect(new Set(world.queue.ids.flat()).size).toBe(150);
    }));
});

describe("storage", () => {
  test("that fails once loses nothing: everything is still noted, and written the next time", () =>
    inStorage(({ outbox, sql, rows, anew }) => {
      const [open, ended] = events(2);
      if (open === undefined || ended === undefined) throw new Error("no events");
      outbox.note({ id: open.id, hold: "{}", event: open }, START_MS);
      outbox.note({ id: ended.id, hold: null, event: ended }, START_MS);
      sql.exec("CREATE TRIGGER fails BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk'); END");
      expect(() => outbox.write()).toThrow("disk");
      expect(rows()).toEqual([]);
      sql.exec("DROP TRIGGER fails");
      outbox.write();
      expect(rows()).toEqual([open.id, ended.id]);
      expect(anew().openRows()).toHaveLength(1);
      expect(anew().settled(ended.id)).toEqual(ended);
    }));

  test("takes as much at once as may have come while it failed: no value is beyond the platform's 2 MB", () =>
    inStorage(({ outbox, rows, sql }) => {
      const many = events(10_000);
      for (const event of many) outbox.note({ id: event.id, hold: null, event }, START_MS);
      const longest: number[] = [];
      const watching = {
        exec: (statement: string, ...values: unknown[]) => {
          longest.push(...values.map((value) => new TextEncoder().encode(String(value)).byteLength));
          return sql.exec(statement, ...values);
        },
      };
      const through = new Outbox(watching as unknown as SqlStorage, new TestQueue(), NAME, START_MS);
      for (const event of many) through.note({ id: event.id, hold: null, event }, START_MS);
      through.write();
      expect(Math.max(...longest)).toBeLessThanOrEqual(2_000_000);
      expect(rows()).toHaveLength(10_000);
    }));

  test("with nothing to write is left alone", () =>
    inStorage(({ outbox, sql }) => {
      sql.exec("CREATE TRIGGER fails BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk'); END");
      expect(() => outbox.write()).not.toThrow();
    }));
});
