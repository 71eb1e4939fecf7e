import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Account } from "#src/limits/account.do.ts";
import type { AdmitRequest } from "#src/limits/account.ts";
import { inSession } from "#src/postgres/session.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";

type Stub = DurableObjectStub<Account>;
type Sending = (events: readonly InferenceEvent[]) => Promise<void>;

const LONG_MS = 600_000;

function newAccount(): Stub {
  return env.ACCOUNT.getByName(`test|${crypto.randomUUID()}`);
}

function asking(max: number, leaseMs = LONG_MS, event = eventWith({ outcome: "abandoned" })): AdmitRequest {
  return { limits: [{ name: "rpm", max, windowMs: 60_000 }], leaseMs, keyId: null, ifAbandoned: event };
}

/** Puts another queue behind the object, until it is evicted. What was sent, batch by batch. */
async function withQueue(account: Stub, sending: Sending = () => Promise.resolve()): Promise<InferenceEvent[][]> {
  const batches: InferenceEvent[][] = [];
  await runInDurableObject(account, (instance) => {
    const queue = {
      async sendBatch(messages: readonly { body: InferenceEvent }[]) {
        const events = messages.map(({ body }) => body);
        await sending(events);
        batches.push(events);
      },
    };
    Reflect.set(instance, "env", { ...env, USAGE: queue });
  });
  return batches;
}

type Stored = { readonly id: string; readonly open: boolean; readonly event: InferenceEvent };

/** The object's rows and its alarm, as they are in storage. */
function stored(account: Stub): Promise<{ rows: Stored[]; alarmInMs: number | null }> {
  return runInDurableObject(account, async (_instance, { storage }) => {
    const rows = storage.sql.exec<{ id: string; expires_ms: number | null; event: string }>("SELECT * FROM ledger");
    const alarmAtMs = await storage.getAlarm();
    return {
      rows: [...rows].map(({ id, expires_ms, event }) => ({ id, open: expires_ms !== null, event: JSON.parse(event) })),
      alarmInMs: alarmAtMs === null ? null : alarmAtMs - Date.now(),
    };
  });
}

/** Asks so many times at once; how many were admitted. */
async function burst(account: Stub, asked: number, max: number): Promise<number> {
  const decisions = await Promise.all(Array.from({ length: asked }, () => account.admit(asking(max))));
  return decisions.filter(({ kind }) => kind === "admitted").length;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a limit is a limit", () => {
  test("100 at once at a limit of 50: exactly 50", async () => {
    const account = newAccount();
    expect(await burst(account, 100, 50)).toBe(50);
    expect(await burst(account, 10, 50)).toBe(0);
  });

  test("accounts do not share", async () => {
    const [one, other] = [newAccount(), newAccount()];
    expect(await burst(one, 3, 2)).toBe(2);
    expect(await burst(other, 3, 2)).toBe(2);
  });

  test.each([
    { name: "evicted", end: (account: Stub) => evictDurableObject(account) },
    { name: "aborted", end: () => abortAllDurableObjects() },
  ])("an object that is $name after a confirmation admits nobody again", async ({ end }) => {
    const account = newAccount();
    const request = asking(50);
    await account.admit(request);
    expect(await burst(account, 49, 50)).toBe(49);
    expect(await account.confirm(request.ifAbandoned.id)).toBe(true);
    await end(account);
    expect(await burst(newStubOf(account), 10, 50)).toBe(0);
  });
});

/** After a failure a stub is broken; a caller makes a new one. */
function newStubOf(account: Stub): Stub {
  return env.ACCOUNT.get(account.id);
}

describe("an API key that was retired", () => {
  const withKey = (keyId: string): AdmitRequest => ({ ...asking(50), keyId });

  test("opens nothing from then on, and the owner's others do", async () => {
    const account = newAccount();
    expect((await account.admit(withKey("key_1"))).kind).toBe("admitted");
    expect(await account.isKeyRetired("key_1")).toBe(false);
    await account.retireKey("key_1", Date.now());
    expect(await account.admit(withKey("key_1"))).toEqual({ kind: "key_retired" });
    expect(await account.isKeyRetired("key_1")).toBe(true);
    expect((await account.admit(withKey("key_2"))).kind).toBe("admitted");
    expect((await account.admit(asking(50))).kind).toBe("admitted");
    expect(await account.isKeyRetired("key_2")).toBe(false);
  });

  test("leaves no lease behind", async () => {
    const account = newAccount();
    await account.retireKey("key_1", 0);
    const request = withKey("key_1");
    await account.admit(request);
    expect(await account.confirm(request.ifAbandoned.id)).toBe(false);
    expect((await stored(account)).rows).toEqual([]);
  });

  test("for a time to come opens until then", async () => {
    const account = newAccount();
    const endMs = Date.now() + 150;
    await account.retireKey("key_1", endMs);
    expect((await account.admit(withKey("key_1"))).kind).toBe("admitted");
    await vi.waitFor(async () => expect(await account.isKeyRetired("key_1")).toBe(true));
    expect(Date.now()).toBeGreaterThanOrEqual(endMs);
    expect((await account.admit(withKey("key_1"))).kind).toBe("key_retired");
  });

  test.each([
    { name: "evicted", end: (account: Stub) => evictDurableObject(account) },
    { name: "aborted", end: () => abortAllDurableObjects() },
  ])("stays so when the object is $name as soon as that resolved", async ({ end }) => {
    const account = newAccount();
    await account.retireKey("key_1", Date.now());
    await end(account);
    const reborn = newStubOf(account);
    expect(await reborn.isKeyRetired("key_1")).toBe(true);
    expect((await reborn.admit(withKey("key_1"))).kind).toBe("key_retired");
  });
});

describe("confirming", () => {
  test("an admitted lease is in storage, with an alarm for its end", async () => {
    const account = newAccount();
    const request = asking(5);
    await account.admit(request);
    expect(await account.confirm(request.ifAbandoned.id)).toBe(true);
    const { rows, alarmInMs } = await stored(account);
    expect(rows).toEqual([{ id: request.ifAbandoned.id, open: true, event: request.ifAbandoned }]);
    expect(alarmInMs).toBeGreaterThan(LONG_MS - 10_000);
  });

  test("a refused one is not", async () => {
    const account = newAccount();
    await account.admit(asking(1));
    const refused = asking(1);
    expect((await account.admit(refused)).kind).toBe("denied");
    expect(await account.confirm(refused.ifAbandoned.id)).toBe(false);
  });

  test("one lost with its instance is not", async () => {
    const account = newAccount();
    const request = asking(5);
    // Within one call, so that the instance dies before the lease is written.
    await runInDurableObject(account, (instance: Account, state) => {
      instance.admit(request);
      state.abort("the instance dies");
    }).catch(() => undefined);
    expect(await newStubOf(account).confirm(request.ifAbandoned.id)).toBe(false);
  });

  test("open leases survive an eviction", async () => {
    const account = newAccount();
    const request = asking(5);
    await account.admit(request);
    await account.confirm(request.ifAbandoned.id);
    await evictDurableObject(account);
    expect(await account.confirm(request.ifAbandoned.id)).toBe(true);
  });
});

describe("settling", () => {
  test("replaces the lease's draft, and one event leaves", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const request = asking(5);
    await account.admit(request);
    const event = { ...request.ifAbandoned, outcome: "complete" as const, completionTokens: 9 };
    await account.settle(event);
    await runDurableObjectAlarm(account);
    await vi.waitFor(() => expect(batches).toEqual([[event]]));
    expect((await stored(account)).rows).toEqual([]);
  });

  test("twice is one event", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const event = eventWith();
    await Promise.all([account.settle(event), account.settle(event)]);
    await account.settle(event);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[event]]);
  });

  test("without a lease it stands alone", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const event = eventWith();
    await account.settle(event);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[event]]);
  });

  test("what is settled is durable when it resolves: an object that dies then still sends it", async () => {
    const account = newAccount();
    const event = eventWith();
    await account.settle(event);
    await abortAllDurableObjects();
    const reborn = newStubOf(account);
    const batches = await withQueue(reborn);
    await runDurableObjectAlarm(reborn);
    await vi.waitFor(() => expect(batches).toEqual([[event]]));
  });

  test("the alarm comes by itself, and the event is in the ledger", async () => {
    const event = eventWith();
    await newAccount().settle(event);
    await vi.waitFor(
      async () => {
        const text = "SELECT id FROM inference_logs WHERE id = $1";
        const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [event.id]));
        expect(rows).toEqual([{ id: event.id }]);
      },
      { timeout: 5_000, interval: 100 },
    );
  });
});

describe("the outbox", () => {
  test("more than a batch holds leaves in several, and nothing is left", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const events = Array.from({ length: 250 }, () => eventWith());
    await Promise.all(events.map((event) => account.settle(event)));
    await runDurableObjectAlarm(account);
    await vi.waitFor(() => expect(batches.flat()).toHaveLength(250));
    expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(100);
    expect(new Set(batches.flat().map(({ id }) => id))).toEqual(new Set(events.map(({ id }) => id)));
    expect((await stored(account)).rows).toEqual([]);
  });

  test("a queue that fails keeps every row, and the alarm is set again, later each time", async () => {
    const account = newAccount();
    let down = true;
    const batches = await withQueue(account, () =>
      down ? Promise.reject(new Error("queue is down")) : Promise.resolve(),
    );
    const event = eventWith();
    await account.settle(event);
    const waitsMs: number[] = [];
    for (let failures = 0; failures < 8; failures++) {
      await runDurableObjectAlarm(account);
      const { rows, alarmInMs } = await stored(account);
      expect(rows).toEqual([{ id: event.id, open: false, event }]);
      waitsMs.push(Math.round((alarmInMs ?? Number.NaN) / 1_000));
    }
    expect(waitsMs).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    down = false;
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[event]]);
    expect((await stored(account)).rows).toEqual([]);
  });

  test("a row settled anew while its batch is on the way stays and leaves too", async () => {
    const account = newAccount();
    const event = eventWith({ outcome: "abandoned" });
    const anew = { ...event, outcome: "complete" as const };
    const batches = await withQueue(account, async ([sent]) => {
      if (sent?.outcome === "abandoned") await newStubOf(account).settle(anew);
    });
    await account.settle(event);
    await runDurableObjectAlarm(account);
    await vi.waitFor(() => expect(batches.flat().map(({ outcome }) => outcome)).toEqual(["abandoned", "complete"]));
    expect((await stored(account)).rows).toEqual([]);
  });

  test("the first lease of a new instance does not put off what waits", async () => {
    const account = newAccount();
    const down: Sending = () => Promise.reject(new Error("queue is down"));
    await withQueue(account, down);
    const event = eventWith();
    await account.settle(event);
    await evictDurableObject(account);
    await withQueue(account, down);
    const request = asking(5);
    await account.admit(request);
    await account.confirm(request.ifAbandoned.id);
    const { rows, alarmInMs } = await stored(account);
    expect(rows.map(({ id, open }) => ({ id, open }))).toContainEqual({ id: event.id, open: false });
    expect(alarmInMs).toBeLessThanOrEqual(1_000);
  });

  test("an alarm that the platform dropped is set again by the next instance", async () => {
    const account = newAccount();
    await account.settle(eventWith());
    await runInDurableObject(account, (_instance, { storage }) => storage.deleteAlarm());
    await evictDurableObject(account);
    expect((await stored(account)).alarmInMs).toBeLessThanOrEqual(1_000);
  });
});

describe("leases that nobody settles", () => {
  test("become the event they were admitted with, once", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const [dead, alive] = [asking(5, 20), asking(5)];
    await account.admit(dead);
    await account.admit(alive);
    await account.confirm(dead.ifAbandoned.id);
    await vi.waitFor(() => expect(batches).toEqual([[dead.ifAbandoned]]));
    expect((await stored(account)).rows).toEqual([{ id: alive.ifAbandoned.id, open: true, event: alive.ifAbandoned }]);
  });

  test("are found by a new instance too", async () => {
    const account = newAccount();
    const dead = asking(5, 50);
    await account.admit(dead);
    await account.confirm(dead.ifAbandoned.id);
    await evictDurableObject(account);
    const batches = await withQueue(account);
    await vi.waitFor(() => expect(batches).toEqual([[dead.ifAbandoned]]));
  });

  test("the earliest end has the alarm, whatever the order of admission", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const [late, early] = [asking(5), asking(5, 20)];
    await account.admit(late);
    await account.confirm(late.ifAbandoned.id);
    await account.admit(early);
    await account.confirm(early.ifAbandoned.id);
    await vi.waitFor(() => expect(batches).toEqual([[early.ifAbandoned]]));
    expect((await stored(account)).alarmInMs).toBeGreaterThan(LONG_MS - 10_000);
  });
});
