import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Account, AccountRequest } from "#src/limits/account.do.ts";
import type { OpenLease } from "#src/limits/leases.ts";
import { inSession } from "#src/postgres/session.ts";
import type { InferenceEvent, UsageEvent, UsageMessage } from "#src/usage/event.ts";
import { eventWith, feedbackWith } from "#test/support/events.ts";

type Stub = DurableObjectStub<Account>;
type Sending = (events: readonly InferenceEvent[]) => Promise<void>;

const SECOND_MS = 1_000;
const COST = { requests: 1, tokens: 100, micros: 5 };

function newAccount(): Stub {
  return env.ACCOUNT.getByName(`test|${crypto.randomUUID()}`);
}

/** A request under one limit of requests a minute; with slots where the test is about them. */
function asking(max: number, changed: Partial<AccountRequest> = {}): AccountRequest {
  const limits = [
    { name: "rpm", unit: "requests" as const, max, windowMs: 60_000 },
    { name: "tpm", unit: "tokens" as const, max: 100 * max, windowMs: 60_000 },
  ];
  const ifAbandoned = eventWith({ outcome: "abandoned", estimated: true, promptTokens: 60, completionTokens: 40 });
  return { limits, slots: [], cost: COST, keyId: null, tenant: null, askedAtMs: Date.now(), ifAbandoned, ...changed };
}

const inFlight = (max: number) => ({ slots: [{ name: "concurrency", max }] });

/** Puts another queue behind the object, until it is evicted. What was sent, batch by batch. */
async function withQueue(account: Stub, sending: Sending = () => Promise.resolve()): Promise<UsageEvent[][]> {
  const batches: UsageEvent[][] = [];
  await runInDurableObject(account, (instance) => {
    const queue = {
      async sendBatch(messages: readonly { body: UsageMessage }[]) {
        for (const { body } of messages) expect(body.outbox).toBe(account.id.toString());
        const events = messages.map(({ body }) => body.event as InferenceEvent);
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
function stored(account: Stub): Promise<{ rows: Stored[]; holds: OpenLease[]; alarmInMs: number | null }> {
  return runInDurableObject(account, async (_instance, { storage }) => {
    const rows = [...storage.sql.exec<{ id: string; hold: string | null; event: string }>("SELECT * FROM outbox")];
    const alarmAtMs = await storage.getAlarm();
    return {
      rows: rows.map(({ id, hold, event }) => ({ id, open: hold !== null, event: JSON.parse(event) })),
      holds: rows.flatMap(({ hold }) => (hold === null ? [] : [JSON.parse(hold)])),
      alarmInMs: alarmAtMs === null ? null : alarmAtMs - Date.now(),
    };
  });
}

/** Moves the wall clock on; alarms are then run by hand. */
function later(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

/** Asks so many times at once; how many were admitted. */
async function burst(account: Stub, asked: number, max: number): Promise<number> {
  const decisions = await Promise.all(Array.from({ length: asked }, () => account.admit(asking(max))));
  return decisions.filter(({ kind }) => kind === "admitted").length;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
});
afterEach(() => {
  vi.useRealTimers();
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
  const withKey = (keyId: string): AccountRequest => asking(50, { keyId });

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
    later(150);
    expect(await account.isKeyRetired("key_1")).toBe(true);
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

describe("requests in flight", () => {
  test("exactly as many as there are slots, and a settled one frees its own at once", async () => {
    const account = newAccount();
    const requests = Array.from({ length: 20 }, () => asking(50, inFlight(3)));
    const decisions = await Promise.all(requests.map((request) => account.admit(request)));
    const admitted = requests.filter((_, at) => decisions[at]?.kind === "admitted");
    expect(admitted).toHaveLength(3);
    const settling = account.settle({ ...(admitted[0] ?? asking(1)).ifAbandoned, outcome: "complete" });
    // Sent behind it, without waiting for it.
    expect((await account.admit(asking(50, inFlight(3)))).kind).toBe("admitted");
    await settling;
    expect((await account.admit(asking(50, inFlight(3)))).kind).toBe("denied");
  });

  test("a holder that falls silent loses its slot after 30 s, and its request is abandoned 15 s later", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const request = asking(50, inFlight(1));
    await account.admit(request);
    await account.confirm(request.ifAbandoned.id);
    expect(await account.renew(request.ifAbandoned.id, { host: "gpu", completionTokens: 7 })).toBe(true);
    later(29 * SECOND_MS);
    expect((await account.admit(asking(50, inFlight(1)))).kind).toBe("denied");
    later(2 * SECOND_MS);
    expect((await account.admit(asking(50))).kind).toBe("admitted");
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([]);
    later(16 * SECOND_MS);
    await runDurableObjectAlarm(account);
    later(SECOND_MS);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[{ ...request.ifAbandoned, host: "gpu", completionTokens: 7 }]]);
  });

  test("one that is renewed keeps it", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const request = asking(50, inFlight(1));
    await account.admit(request);
    for (let beats = 0; beats < 8; beats++) {
      later(10 * SECOND_MS);
      expect(await account.renew(request.ifAbandoned.id, {})).toBe(true);
      await runDurableObjectAlarm(account);
    }
    expect((await account.admit(asking(50, inFlight(1)))).kind).toBe("denied");
    expect(batches).toEqual([]);
  });

  test("one that was doubted and speaks again is not abandoned, not even by a later instance", async () => {
    const account = newAccount();
    const request = asking(50);
    await account.admit(request);
    await account.confirm(request.ifAbandoned.id);
    later(31 * SECOND_MS);
    await runDurableObjectAlarm(account);
    expect((await stored(account)).holds).toMatchObject([{ doubtedAtMs: Date.now() }]);
    await account.renew(request.ifAbandoned.id, {});
    await account.confirm(request.ifAbandoned.id);
    expect((await stored(account)).holds).toMatchObject([{ doubtedAtMs: null }]);
  });

  test("an instance that finds an old lease gives its holder time to speak, and then abandons it, evicted or not", async () => {
    const account = newAccount();
    const request = asking(50, inFlight(1));
    await account.admit(request);
    await account.confirm(request.ifAbandoned.id);
    later(100 * SECOND_MS);
    await evictDurableObject(account);
    expect((await account.admit(asking(50, inFlight(1)))).kind).toBe("denied");
    await account.confirm(request.ifAbandoned.id);
    await evictDurableObject(account);
    later(16 * SECOND_MS);
    const batches = await withQueue(account);
    await runDurableObjectAlarm(account);
    later(SECOND_MS);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[request.ifAbandoned]]);
  });

  test("renewing what is not there says so", async () => {
    expect(await newAccount().renew(crypto.randomUUID(), {})).toBe(false);
  });
});

describe("confirming", () => {
  test("an admitted lease is in storage, with an alarm to look after its holder", async () => {
    const account = newAccount();
    const request = asking(5);
    await account.admit(request);
    expect(await account.confirm(request.ifAbandoned.id)).toBe(true);
    const { rows, alarmInMs } = await stored(account);
    expect(rows).toEqual([{ id: request.ifAbandoned.id, open: true, event: request.ifAbandoned }]);
    expect(alarmInMs).toBeLessThanOrEqual(30 * SECOND_MS);
    expect(alarmInMs).toBeGreaterThan(20 * SECOND_MS);
  });

  test("a refused one is not", async () => {
    const account = newAccount();
    await account.admit(asking(1));
    const refused = asking(1);
    expect((await account.admit(refused)).kind).toBe("denied");
    expect(await account.confirm(refused.ifAbandoned.id)).toBe(false);
  });

  test("one lost with its instance is not, and what it was charged is not either", async () => {
    const account = newAccount();
    const request = asking(1);
    // Within one call, so that the instance dies before the lease is written.
    await runInDurableObject(account, (instance: Account, state) => {
      void instance.admit(request);
      state.abort("the instance dies");
    }).catch(() => undefined);
    expect(await newStubOf(account).confirm(request.ifAbandoned.id)).toBe(false);
    expect(await burst(newStubOf(account), 3, 1)).toBe(1);
  });

  test("storage that fails confirms nothing, and what was noted is written when it is well again", async () => {
    const account = newAccount();
    vi.spyOn(console, "error").mockReturnValue();
    await runInDurableObject(account, (_instance, { storage }) =>
      storage.sql.exec("CREATE TRIGGER broken BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk'); END"),
    );
    const request = asking(5);
    await account.admit(request);
    // The promise of a call over RPC is none of the engine's own: `expect` would leave a copy of it unhandled.
    const confirmed = await account.confirm(request.ifAbandoned.id).catch((cause: unknown) => String(cause));
    expect(confirmed).toContain("disk");
    expect((await stored(account)).rows).toEqual([]);
    await runInDurableObject(account, (_instance, { storage }) => storage.sql.exec("DROP TRIGGER broken"));
    await vi.waitFor(async () => expect((await stored(account)).rows).toHaveLength(1), { timeout: 4_000 });
    expect(await account.confirm(request.ifAbandoned.id)).toBe(true);
  });

  test("an eviction with a change not yet written waits for it, or loses what was never confirmed", async () => {
    const account = newAccount();
    const request = asking(5);
    const confirmed = account.admit(request).then(() => account.confirm(request.ifAbandoned.id));
    await evictDurableObject(account).catch(() => undefined);
    const held = await confirmed.catch(() => false);
    expect((await stored(newStubOf(account))).rows.some(({ id }) => id === request.ifAbandoned.id)).toBe(held);
  });

  test("open leases survive an eviction, and are settled in the one that follows", async () => {
    const account = newAccount();
    const request = asking(1);
    await account.admit(request);
    await account.confirm(request.ifAbandoned.id);
    await evictDurableObject(account);
    expect(await account.confirm(request.ifAbandoned.id)).toBe(true);
    await account.settle({ ...request.ifAbandoned, promptTokens: 1, completionTokens: 1, outcome: "complete" });
    const { windows } = await account.standing(request);
    expect(windows.map(({ remaining }) => remaining)).toEqual([0, 98]);
  });
});

describe("settling", () => {
  test("replaces the lease's draft, and one event leaves, which is kept until the ledger has it", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const request = asking(5);
    await account.admit(request);
    const event = { ...request.ifAbandoned, outcome: "complete" as const, completionTokens: 9 };
    await account.settle(event);
    later(SECOND_MS);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[event]]);
    expect((await stored(account)).rows).toEqual([{ id: event.id, open: false, event }]);
    await account.acknowledge([event.id]);
    // By the next write, whoever it is for.
    const next = asking(5);
    await account.admit(next);
    await account.confirm(next.ifAbandoned.id);
    expect((await stored(account)).rows.map(({ id }) => id)).toEqual([next.ifAbandoned.id]);
  });

  test("what is acknowledged is deleted within a second or so where nothing else is written", async () => {
    const account = newAccount();
    const event = eventWith();
    await account.settle(event);
    await account.acknowledge([event.id]);
    await vi.waitFor(async () => expect((await stored(account)).rows).toEqual([]), { timeout: 3_000 });
  });

  test.each([
    { name: "what a request came to waits for another write, a quarter of a second", event: eventWith(), waits: true },
    { name: "feedback, whose giver waits for it, does not", event: feedbackWith(), waits: false },
  ])("$name", async ({ event, waits }) => {
    const account = newAccount();
    await account.confirm("");
    const [set, cleared] = [vi.spyOn(globalThis, "setTimeout"), vi.spyOn(globalThis, "clearTimeout")];
    await account.settle(event);
    const lazy = set.mock.results[set.mock.calls.findIndex(([, ms]) => ms === 250)]?.value;
    expect(lazy).toBeDefined();
    expect(!cleared.mock.calls.some(([timer]) => timer === lazy)).toBe(waits);
    expect((await stored(account)).rows).toMatchObject([{ id: event.id }]);
  });

  test("twice is one event, and counts once", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const event = eventWith();
    await Promise.all([account.settle(event), account.settle(event)]);
    later(SECOND_MS);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[event]]);
    await account.acknowledge([event.id]);
    await account.settle(event);
    expect(Object.values(await account.totals())).toEqual([{ requests: 1, promptTokens: 11, completionTokens: 7 }]);
  });

  test("gives back the tokens that were not used", async () => {
    const account = newAccount();
    const request = asking(2);
    await account.admit(request);
    await account.settle({ ...request.ifAbandoned, promptTokens: 3, completionTokens: 4, outcome: "complete" });
    expect((await account.standing(request)).windows.map(({ remaining }) => remaining)).toEqual([1, 193]);
  });

  test("an admission that came too late is released: nothing is charged, held or told of", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    const request = asking(2, inFlight(1));
    await account.admit(request);
    await account.confirm(request.ifAbandoned.id);
    await account.release(request.ifAbandoned.id);
    const { windows, slots } = await account.standing(request);
    expect(windows.map(({ remaining }) => remaining)).toEqual([2, 200]);
    expect(slots.map(({ remaining }) => remaining)).toEqual([1]);
    later(60 * SECOND_MS);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([]);
    expect((await stored(account)).rows).toEqual([]);
    expect(await account.totals()).toEqual({});
  });

  test("what is settled is durable when it resolves: an object that dies then still sends it", async () => {
    const account = newAccount();
    const event = eventWith();
    await account.settle(event);
    await abortAllDurableObjects();
    const reborn = newStubOf(account);
    const batches = await withQueue(reborn);
    later(SECOND_MS);
    await runDurableObjectAlarm(reborn);
    await vi.waitFor(() => expect(batches).toEqual([[event]]));
  });

  test("late, it takes the place of what was abandoned and has not left yet", async () => {
    const account = newAccount();
    const request = asking(5);
    await withQueue(account, () => Promise.reject(new Error("queue is down")));
    await account.admit(request);
    later(31 * SECOND_MS);
    await runDurableObjectAlarm(account);
    later(16 * SECOND_MS);
    await runDurableObjectAlarm(account);
    const event = { ...request.ifAbandoned, outcome: "complete" as const };
    await account.settle(event);
    expect((await stored(account)).rows).toEqual([{ id: event.id, open: false, event }]);
    expect(Object.values(await account.totals())).toMatchObject([{ requests: 1 }]);
  });

  test("it leaves by itself, is in the ledger, and the outbox hears of it", async () => {
    vi.useRealTimers();
    const event = eventWith();
    const account = newAccount();
    await account.settle(event);
    await vi.waitFor(
      async () => {
        const text = "SELECT id FROM inference_logs WHERE id = $1";
        const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [event.id]));
        expect(rows).toEqual([{ id: event.id }]);
        expect((await stored(account)).rows).toEqual([]);
      },
      { timeout: 8_000, interval: 100 },
    );
  });
});

describe("sending", () => {
  test("takes a second and no alarm: the one that is set for it is for an object that dies", async () => {
    vi.useRealTimers();
    const account = newAccount();
    const batches = await withQueue(account);
    const event = eventWith();
    await account.settle(event);
    const { alarmInMs } = await stored(account);
    expect(alarmInMs).toBeGreaterThan(25 * SECOND_MS);
    expect(alarmInMs).toBeLessThanOrEqual(31 * SECOND_MS);
    await vi.waitFor(() => expect(batches).toEqual([[event]]), { timeout: 3_000 });
  });

  test("under steady traffic sets no alarm again", async () => {
    const account = newAccount();
    await withQueue(account);
    const alarmsAtMs = new Set<number | null>();
    for (let seconds = 0; seconds < 20; seconds += 4) {
      const request = asking(50);
      await account.admit(request);
      await account.confirm(request.ifAbandoned.id);
      await account.settle({ ...request.ifAbandoned, outcome: "complete" });
      alarmsAtMs.add(((await stored(account)).alarmInMs ?? Number.NaN) + Date.now());
      later(4 * SECOND_MS);
    }
    expect(alarmsAtMs.size).toBe(1);
  });

  test("a queue that fails keeps every row, and the alarm is set again, later each time", async () => {
    const account = newAccount();
    vi.spyOn(console, "error").mockReturnValue();
    let down = true;
    const batches = await withQueue(account, () =>
      down ? Promise.reject(new Error("queue is down")) : Promise.resolve(),
    );
    const event = eventWith();
    await account.settle(event);
    const waitsMs: number[] = [];
    for (let failures = 0; failures < 8; failures++) {
      later(60 * SECOND_MS);
      await runDurableObjectAlarm(account);
      const { rows, alarmInMs } = await stored(account);
      expect(rows).toEqual([{ id: event.id, open: false, event }]);
      waitsMs.push(Math.round((alarmInMs ?? Number.NaN) / 1_000));
    }
    expect(waitsMs).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    down = false;
    later(60 * SECOND_MS);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[event]]);
  });

  test("what nobody acknowledges is sent again, after two minutes and then after four", async () => {
    const account = newAccount();
    const batches = await withQueue(account);
    await account.settle(eventWith());
    const sentAfterS: number[] = [];
    for (let seconds = 1; seconds <= 400; seconds += 1) {
      later(SECOND_MS);
      if (seconds % 20 === 1) await runDurableObjectAlarm(account);
      if (batches.length > sentAfterS.length) sentAfterS.push(seconds);
    }
    expect(sentAfterS).toEqual([1, 121, 361]);
  });

  test("the first lease of a new instance does not put off what waits", async () => {
    const account = newAccount();
    vi.spyOn(console, "error").mockReturnValue();
    const down: Sending = () => Promise.reject(new Error("queue is down"));
    await withQueue(account, down);
    const event = eventWith();
    await account.settle(event);
    await abortAllDurableObjects();
    const reborn = newStubOf(account);
    await withQueue(reborn, down);
    const request = asking(5);
    await reborn.admit(request);
    await reborn.confirm(request.ifAbandoned.id);
    const { rows, alarmInMs } = await stored(reborn);
    expect(rows.map(({ id, open }) => ({ id, open }))).toContainEqual({ id: event.id, open: false });
    expect(alarmInMs).toBeLessThanOrEqual(1_000);
  });

  test("an alarm that never rang is set again by the next change, and not before it could have been late", async () => {
    const account = newAccount();
    const drop = () => runInDurableObject(account, (_instance, { storage }) => storage.deleteAlarm());
    await account.settle(eventWith({}));
    await drop();
    later(35 * SECOND_MS);
    await account.settle(eventWith({}));
    expect((await stored(account)).alarmInMs).toBeNull();
    later(10 * SECOND_MS);
    await account.settle(eventWith({}));
    expect((await stored(account)).alarmInMs).toBeLessThanOrEqual(30 * SECOND_MS);
    expect((await stored(account)).alarmInMs).not.toBeNull();
  });

  test("a queue that never answers is given up, and what it was sent goes out again", async () => {
    const account = newAccount();
    const event = eventWith({});
    let sends = 0;
    const batches = await withQueue(account, () => (sends++ === 0 ? new Promise(() => undefined) : Promise.resolve()));
    await account.settle(event);
    later(SECOND_MS);
    const soon = setTimeout;
    const hurried = vi
      .spyOn(globalThis, "setTimeout")
      .mockImplementation((run: () => void, ms?: number) => soon(run, ms === 30 * SECOND_MS ? 50 : ms));
    await runDurableObjectAlarm(account);
    hurried.mockRestore();
    expect(batches).toEqual([]);
    later(5 * SECOND_MS);
    await runDurableObjectAlarm(account);
    expect(batches).toEqual([[event]]);
  });

  test("an alarm that the platform dropped is set again by the next instance", async () => {
    const account = newAccount();
    await account.settle(eventWith());
    await runInDurableObject(account, (_instance, { storage }) => storage.deleteAlarm());
    await abortAllDurableObjects();
    expect((await stored(newStubOf(account))).alarmInMs).toBeLessThanOrEqual(1_000);
  });
});

describe("a tenant's cap", () => {
  test("five accounts with a hundred requests at once: exactly as many as the cap, each of them confirmed", async () => {
    const tenant = {
      id: `issuer|${crypto.randomUUID()}`,
      limits: [{ name: "rpm/tenant", unit: "requests" as const, max: 30, windowMs: 60_000 }],
    };
    const accounts = Array.from({ length: 5 }, newAccount);
    const asked = Array.from({ length: 100 }, (_, at) => ({
      account: accounts[at % 5] ?? newAccount(),
      request: asking(1_000, { tenant }),
    }));
    const outcomes = await Promise.all(
      asked.map(async ({ account, request }) => {
        const deciding = account.admit(request);
        const confirming = account.confirm(request.ifAbandoned.id);
        return [(await deciding).kind, await confirming];
      }),
    );
    expect(outcomes.filter(([kind]) => kind === "admitted")).toHaveLength(30);
    expect(outcomes.filter(([, confirmed]) => confirmed)).toHaveLength(30);
    for (const [kind, confirmed] of outcomes) expect(confirmed).toBe(kind === "admitted");
  });
});
