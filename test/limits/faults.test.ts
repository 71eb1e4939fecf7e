/**
 * What an account's object admits, keeps and tells of while it dies, its storage fails and clocks are wrong: the object
 * itself, its storage and its alarms, with the wall clock moved by hand.
 */
import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Account, AccountRequest } from "#src/limits/account.do.ts";
import type { TenantCaps } from "#src/limits/tenant-share.ts";
import type { InferenceEvent, UsageMessage } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";

type Stub = DurableObjectStub<Account>;

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;

/** By its name every time: after a failure a stub is broken. */
const accountOf = (name: string): Stub => env.ACCOUNT.getByName(name);
const newName = (): string => `test|${crypto.randomUUID()}`;

function asking(max: number, changed: Partial<AccountRequest> = {}): AccountRequest {
  return {
    limits: [{ name: "rpm", unit: "requests", max, windowMs: 60_000 }],
    slots: [],
    cost: { requests: 1, tokens: 100, micros: 0 },
    keyId: null,
    tenant: null,
    askedAtMs: Date.now(),
    ifAbandoned: eventWith({ outcome: "abandoned", estimated: true, completionTokens: 0, host: null }),
    ...changed,
  };
}

type Row = { readonly id: string; readonly isOpen: boolean; readonly event: InferenceEvent };

function rowsOf(name: string): Promise<Row[]> {
  return runInDurableObject(accountOf(name), (_instance, { storage }) =>
    Array.from(
      storage.sql.exec<{ id: string; hold: string | null; event: string }>("SELECT * FROM outbox"),
      ({ id, hold, event }) => ({ id, isOpen: hold !== null, event: JSON.parse(event) }),
    ),
  );
}

/** Everything that an object hands to the queue from now on. */
function queuedBy(name: string): UsageMessage[] {
  const messages: UsageMessage[] = [];
  const outbox = accountOf(name).id.toString();
  vi.spyOn(env.USAGE, "sendBatch").mockImplementation(async (batch) => {
    for (const { body } of batch) if (body.outbox === outbox) messages.push(body);
    return { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } };
  });
  return messages;
}

function later(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

/** Lets the write behind the answers happen, in real time. */
const written = (): Promise<void> => scheduler.wait(30);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("a clock that is wrong", () => {
  /** Asks so often, asked at these times by turns; settles what was admitted, renews what was not. How many were. */
  async function asked(name: string, times: number, askedAtMs: (turn: number) => number): Promise<number> {
    let admitted = 0;
    for (let turn = 0; turn < times; turn++) {
      const request = asking(5, { askedAtMs: askedAtMs(turn) });
      const account = accountOf(name);
      const { kind } = await account.admit(request);
      await account.renew(request.ifAbandoned.id, {});
      if (kind !== "admitted") continue;
      admitted++;
      await account.settle({ ...request.ifAbandoned, outcome: "complete" });
    }
    return admitted;
  }

  test.each([
    { name: "the object's leaps an hour ahead, and those that ask say so", leapMs: HOUR_MS },
    { name: "the object's leaps a day ahead", leapMs: 24 * HOUR_MS },
  ])("$name: nobody is admitted again", async ({ leapMs }) => {
    const name = newName();
    const trueMs = Date.now();
    expect(await asked(name, 8, () => trueMs)).toBe(5);
    later(leapMs);
    expect(await asked(name, 30, () => trueMs + 10)).toBe(0);
    later(-leapMs);
    expect(await asked(name, 30, () => trueMs + 20)).toBe(0);
  });

  test("one of two machines that ask is behind: nobody is admitted again", async () => {
    expect(await asked(newName(), 60, (turn) => Date.now() - (turn % 2) * 10 * SECOND_MS)).toBe(5);
  });

  test("every clock steps back an hour: nobody is admitted again, and everybody a window and a slice later", async () => {
    const name = newName();
    expect(await asked(name, 8, () => Date.now())).toBe(5);
    later(-HOUR_MS);
    expect(await asked(name, 8, () => Date.now())).toBe(0);
    later(61 * SECOND_MS);
    expect(await asked(name, 8, () => Date.now())).toBe(5);
  });

  test("a step back opens no key again that was revoked", async () => {
    const name = newName();
    await accountOf(name).admit(asking(5));
    await accountOf(name).retireKey("key_1", Date.now());
    later(-HOUR_MS);
    expect(await accountOf(name).isKeyRetired("key_1")).toBe(true);
    expect(await accountOf(name).admit(asking(5, { keyId: "key_1" }))).toEqual({ kind: "key_retired" });
  });

  test("a holder that dies after a step back is found out in no more than its time", async () => {
    const name = newName();
    const messages = queuedBy(name);
    const request = asking(5);
    await accountOf(name).admit(request);
    await accountOf(name).confirm(request.ifAbandoned.id);
    later(10 * SECOND_MS - HOUR_MS);
    await accountOf(name).renew(request.ifAbandoned.id, {});
    for (let alarms = 0; alarms < 5; alarms++) {
      later(16 * SECOND_MS);
      await runDurableObjectAlarm(accountOf(name));
    }
    expect(messages.map(({ event }) => event.id)).toEqual([request.ifAbandoned.id]);
  });
});

describe("an object that dies at any moment", () => {
  const MAX = 20;

  test.each([
    { name: "evicted", end: (name: string) => evictDurableObject(accountOf(name)) },
    { name: "aborted", end: () => abortAllDurableObjects() },
  ])(
    "$name again and again: no more are confirmed than the limit has, and what was confirmed is kept",
    async ({ end }) => {
      const name = newName();
      const confirmed: string[] = [];
      for (let lives = 0; lives < 12; lives++) {
        const asks = Array.from({ length: 4 }, async () => {
          const request = asking(MAX);
          const account = accountOf(name);
          const deciding = account.admit(request);
          const confirming = account.confirm(request.ifAbandoned.id);
          await deciding.catch(() => undefined);
          if (await confirming.catch(() => false)) confirmed.push(request.ifAbandoned.id);
        });
        // From before the first answer to after the write behind it.
        await scheduler.wait(2 * lives);
        await end(name).catch(() => undefined);
        await Promise.all(asks);
      }
      expect(confirmed.length).toBeGreaterThan(0);
      expect(confirmed.length).toBeLessThanOrEqual(MAX);
      const kept = new Set((await rowsOf(name)).map(({ id }) => id));
      expect(confirmed.filter((id) => !kept.has(id))).toEqual([]);
      const { windows } = await accountOf(name).standing(asking(MAX));
      expect(windows[0]?.remaining).toBeLessThanOrEqual(MAX - confirmed.length);
    },
  );

  test("keeps what was known of a request, evicted between any two renewals", async () => {
    const name = newName();
    const messages = queuedBy(name);
    const request = asking(5);
    const { id } = request.ifAbandoned;
    await accountOf(name).admit(request);
    await accountOf(name).confirm(id);
    for (const completionTokens of [10, 20, 30]) {
      later(10 * SECOND_MS);
      await accountOf(name).renew(id, { host: "gpu", completionTokens });
      await written();
      await evictDurableObject(accountOf(name));
    }
    for (let alarms = 0; alarms < 6; alarms++) {
      later(16 * SECOND_MS);
      await runDurableObjectAlarm(accountOf(name));
    }
    expect(messages.map(({ event }) => event)).toEqual([{ ...request.ifAbandoned, host: "gpu", completionTokens: 30 }]);
  });

  test("writes nothing for a renewal that has nothing new", async () => {
    const name = newName();
    const request = asking(5);
    await accountOf(name).admit(request);
    await accountOf(name).confirm(request.ifAbandoned.id);
    await runInDurableObject(accountOf(name), (_instance, { storage }) =>
      storage.sql.exec("CREATE TRIGGER none BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'written'); END"),
    );
    await accountOf(name).renew(request.ifAbandoned.id, {});
    expect(await accountOf(name).confirm(request.ifAbandoned.id)).toBe(true);
  });

  test("keeps what was known of one that was doubted and spoke again", async () => {
    const name = newName();
    const request = asking(5);
    await accountOf(name).admit(request);
    later(31 * SECOND_MS);
    await runDurableObjectAlarm(accountOf(name));
    await accountOf(name).renew(request.ifAbandoned.id, { host: "gpu", completionTokens: 9 });
    await accountOf(name).confirm(request.ifAbandoned.id);
    expect(await rowsOf(name)).toMatchObject([{ isOpen: true, event: { host: "gpu", completionTokens: 9 } }]);
  });
});

describe("storage that fails", () => {
  const breakStorage = (name: string) =>
    runInDurableObject(accountOf(name), (_instance, { storage }) => {
      storage.sql.exec("CREATE TRIGGER broken BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk'); END");
    });
  const mendStorage = (name: string) =>
    runInDurableObject(accountOf(name), (_instance, { storage }) => {
      storage.sql.exec("DROP TRIGGER broken");
    });

  test("confirms and settles nothing meanwhile; then everything is there, once, and sent once", async () => {
    const name = newName();
    const messages = queuedBy(name);
    await breakStorage(name);
    const [open, ended] = [asking(9), asking(9)];
    const account = accountOf(name);
    for (const { ifAbandoned } of [open, ended]) await account.admit({ ...asking(9), ifAbandoned });
    const event = { ...ended.ifAbandoned, outcome: "complete" as const, completionTokens: 7 };
    const outcomes = await Promise.allSettled([account.confirm(open.ifAbandoned.id), account.settle(event)]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await rowsOf(name)).toEqual([]);

    await mendStorage(name);
    // It is tried again by itself; whoever asks meanwhile waits for that.
    expect(await accountOf(name).confirm(open.ifAbandoned.id)).toBe(true);
    const found = async () => new Map((await rowsOf(name)).map(({ id, isOpen }) => [id, isOpen]));
    const expected = new Map([
      [open.ifAbandoned.id, true],
      [ended.ifAbandoned.id, false],
    ]);
    expect(await found()).toEqual(expected);
    // Who heard of the failure tries again.
    await accountOf(name).settle(event);
    expect(await found()).toEqual(expected);
    later(SECOND_MS);
    await runDurableObjectAlarm(accountOf(name));
    expect(messages.map(({ event: sent }) => sent)).toEqual([event]);
    const totals = Object.values(await accountOf(name).totals());
    expect(totals).toMatchObject([{ requests: 1, completionTokens: 7 }]);
  });

  test("while it does, counts what was admitted: nobody is admitted again", async () => {
    const name = newName();
    await breakStorage(name);
    const decisions = await Promise.all(Array.from({ length: 12 }, () => accountOf(name).admit(asking(5))));
    await written();
    decisions.push(...(await Promise.all(Array.from({ length: 12 }, () => accountOf(name).admit(asking(5))))));
    expect(decisions.filter(({ kind }) => kind === "admitted")).toHaveLength(5);
  });
});

describe("a tenant's object that dies or is wrong", () => {
  function tenantOf(max: number): TenantCaps {
    const limits = [{ name: "rpm/tenant", unit: "requests" as const, max, windowMs: 60_000 }];
    return { id: `issuer|${crypto.randomUUID()}`, limits };
  }

  /** Asks so often, spread over these accounts; how many were admitted. */
  async function burst(names: readonly string[], tenant: TenantCaps, times: number): Promise<number> {
    const decisions = await Promise.all(
      Array.from({ length: times }, (_, at) =>
        accountOf(names[at % names.length] ?? "").admit(asking(1_000, { tenant })),
      ),
    );
    return decisions.filter(({ kind }) => kind === "admitted").length;
  }

  test.each([
    { name: "evicted", end: (tenant: TenantCaps) => evictDurableObject(env.TENANT.getByName(tenant.id)) },
    { name: "aborted, and its accounts with it", end: () => abortAllDurableObjects() },
  ])("$name: grants nothing again", async ({ end }) => {
    const tenant = tenantOf(30);
    const names = [newName(), newName(), newName()];
    expect(await burst(names, tenant, 20)).toBe(20);
    await end(tenant);
    expect(await burst(names, tenant, 40)).toBe(10);
    await end(tenant);
    expect(await burst(names, tenant, 20)).toBe(0);
  });

  test("has a clock that leaps: grants nothing again", async () => {
    const { id, limits } = tenantOf(30);
    const wanted = limits.map((limit) => ({ limit, units: 30 }));
    const trueMs = Date.now();
    expect((await env.TENANT.getByName(id).grant(wanted, [], trueMs)).kind).toBe("granted");
    later(HOUR_MS);
    expect((await env.TENANT.getByName(id).grant(wanted, [], trueMs + 10)).kind).toBe("denied");
  });

  test("cannot be reached: nobody is let through, and nothing of the account's own is charged", async () => {
    const name = newName();
    const tenant = tenantOf(30);
    await runInDurableObject(env.TENANT.getByName(tenant.id), (_instance, { storage }) => {
      storage.sql.exec("CREATE TRIGGER broken BEFORE INSERT ON state BEGIN SELECT RAISE(ABORT, 'disk'); END");
    });
    const request = asking(5, { tenant, slots: [{ name: "concurrency", max: 2 }] });
    const account = accountOf(name);
    const deciding = account.admit(request).then(
      ({ kind }) => kind,
      (cause: unknown) => String(cause),
    );
    const confirming = account.confirm(request.ifAbandoned.id);
    expect(await deciding).toContain("disk");
    expect(await confirming).toBe(false);
    const { windows, slots } = await accountOf(name).standing(request);
    expect([...windows, ...slots].map(({ remaining }) => remaining)).toEqual([5, 2]);
  });
});

describe("a tenant's cap and the account's own limits", () => {
  const limits = [{ name: "rpm/tenant", unit: "requests" as const, max: 3, windowMs: 60_000 }];

  test("what the tenant refuses is charged nowhere, and what the account refuses is not the tenant's loss", async () => {
    const tenant = { id: `issuer|${crypto.randomUUID()}`, limits };
    const [one, other] = [newName(), newName()];
    const kindOf = async (name: string, max: number) => (await accountOf(name).admit(asking(max, { tenant }))).kind;
    // The account refuses its second request, whose unit it keeps for its next one.
    expect([await kindOf(one, 1), await kindOf(one, 1)]).toEqual(["admitted", "denied"]);
    expect([await kindOf(one, 9), await kindOf(other, 9)]).toEqual(["admitted", "admitted"]);
    const refused = await accountOf(other).admit(asking(9, { tenant }));
    expect(refused).toMatchObject({ kind: "denied", violated: { name: "rpm/tenant", unit: "requests" } });
    const { windows } = await accountOf(other).standing(asking(9));
    expect(windows[0]?.remaining).toBe(8);
  });
});
