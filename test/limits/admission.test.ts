import { describe, expect, test, vi } from "vitest";
import type { Decision } from "#src/limits/account.ts";
import { type AccountStub, limitsOf, requestLease } from "#src/limits/admission.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";

const REQUEST = { limits: [], leaseMs: 1_000, keyId: null, ifAbandoned: eventWith() };
const ADMITTED: Decision = { kind: "admitted", standings: [] };
const NEVER = new Promise<never>(() => undefined);

/** An object's stub; what a test does not say is answered well. */
function stub(answers: Partial<AccountStub> = {}): AccountStub {
  return {
    admit: () => Promise.resolve(ADMITTED),
    confirm: () => Promise.resolve(true),
    settle: () => Promise.resolve(),
    ...answers,
  };
}

test("the tier's request windows", () => {
  const tier = { rpm: 50, rph: 500, rpd: 5_000, tpm: 20_000, concurrency: 4, share: 1 };
  expect(limitsOf(tier)).toEqual([
    { name: "rpm", max: 50, windowMs: 60_000 },
    { name: "rph", max: 500, windowMs: 3_600_000 },
    { name: "rpd", max: 5_000, windowMs: 86_400_000 },
  ]);
});

describe("what the object says", () => {
  test.each<{ name: string; answers: Partial<AccountStub>; kind: string }>([
    { name: "admitted", answers: {}, kind: "admitted" },
    {
      name: "denied",
      answers: { admit: () => Promise.resolve({ kind: "denied", standings: [], retryAfterMs: 9 }) },
      kind: "denied",
    },
    {
      name: "key_retired",
      answers: { admit: () => Promise.resolve({ kind: "key_retired" }) },
      kind: "key_retired",
    },
    {
      name: "an object that fails",
      answers: { admit: () => Promise.reject(new Error("overloaded")) },
      kind: "unreachable",
    },
  ])(
    "$name",
    async ({ answers, kind }) => {
      expect((await requestLease(() => stub(answers), REQUEST)).kind).toBe(kind);
    },
    8_000,
  );

  test("an object that hangs is given up", async () => {
    const waited = vi.spyOn(scheduler, "wait").mockResolvedValue();
    const hanging = stub({ admit: () => NEVER, confirm: () => NEVER });
    expect((await requestLease(() => hanging, REQUEST)).kind).toBe("unreachable");
    expect(waited).toHaveBeenCalledExactlyOnceWith(5_000, expect.anything());
    waited.mockRestore();
  });

  test("no stub to be had is no pass", async () => {
    const connect = (): AccountStub => {
      throw new Error("stub creation rate");
    };
    expect((await requestLease(connect, REQUEST)).kind).toBe("unreachable");
  });
});

describe("the lease", () => {
  async function leaseBy(connect: () => AccountStub) {
    const admission = await requestLease(connect, REQUEST);
    if (admission.kind !== "admitted") throw new Error(admission.kind);
    return admission.lease;
  }

  test("the confirmation travels with the question, on the same stub, and is not waited for", async () => {
    const asked: string[] = [];
    const account = stub({
      admit: () => {
        asked.push("admit");
        return Promise.resolve(ADMITTED);
      },
      confirm: (id) => {
        asked.push(`confirm ${id}`);
        return NEVER;
      },
    });
    let stubs = 0;
    await leaseBy(() => {
      stubs++;
      return account;
    });
    expect({ asked, stubs }).toEqual({ asked: ["admit", `confirm ${REQUEST.ifAbandoned.id}`], stubs: 1 });
  });

  test("a confirmation that fails is a no, not a rejection", async () => {
    const lease = await leaseBy(() => stub({ confirm: () => Promise.reject(new Error("reset")) }));
    expect(await lease.confirmed).toBe(false);
  });

  test("settling goes to a fresh stub, and once more to another when that breaks", async () => {
    const settled: { by: number; event: InferenceEvent }[] = [];
    let stubs = 0;
    const lease = await leaseBy(() => {
      const by = stubs++;
      return stub({
        settle: (event) => {
          settled.push({ by, event });
          return by === 1 ? Promise.reject(new Error("broken")) : Promise.resolve();
        },
      });
    });
    const event = eventWith();
    await lease.settle(event);
    expect(settled).toEqual([
      { by: 1, event },
      { by: 2, event },
    ]);
  });

  test("an object that stays unreachable is told to who settles", async () => {
    const lease = await leaseBy(() => stub({ settle: () => Promise.reject(new Error("gone")) }));
    await expect(lease.settle(eventWith())).rejects.toThrow("gone");
  });
});
