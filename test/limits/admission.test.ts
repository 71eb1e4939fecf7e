import { afterEach, describe, expect, test, vi } from "vitest";
import type { AccountRequest } from "#src/limits/account.do.ts";
import type { Decision } from "#src/limits/account.ts";
import { type AccountStub, type Lease, requestLease } from "#src/limits/admission.ts";
import type { Progress } from "#src/limits/leases.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";

const REQUEST: AccountRequest = {
  limits: [],
  slots: [],
  cost: { requests: 1, tokens: 0, micros: 0 },
  keyId: null,
  tenant: null,
  askedAtMs: 1_790_000_000_000,
  ifAbandoned: eventWith(),
};
const STANDINGS = { windows: [], slots: [] };
const ADMITTED: Decision = { kind: "admitted", standings: STANDINGS };
const DENIED: Decision = {
  kind: "denied",
  standings: STANDINGS,
  violated: { name: "rpm", unit: "requests" },
  retryAfterMs: 9,
};
const NEVER = new Promise<never>(() => undefined);

/** An object's stub; what a test does not say is answered well. */
function stub(answers: Partial<AccountStub> = {}): AccountStub {
  return {
    admit: () => Promise.resolve(ADMITTED),
    confirm: () => Promise.resolve(true),
    renew: () => Promise.resolve(true),
    settle: () => Promise.resolve(),
    release: () => Promise.resolve(),
    ...answers,
  };
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("what the object says", () => {
  test.each<{ name: string; decision: Decision }>([
    { name: "denied", decision: DENIED },
    { name: "key_retired", decision: { kind: "key_retired" } },
  ])("$name is passed on", async ({ decision }) => {
    expect(await requestLease(() => stub({ admit: () => Promise.resolve(decision) }), REQUEST)).toEqual(decision);
  });

  test("admitted is a lease that shows where the caller stands", async () => {
    const admission = await requestLease(() => stub(), REQUEST);
    expect(admission).toMatchObject({ kind: "admitted", lease: { standings: STANDINGS } });
  });
});

describe("an object that cannot be reached", () => {
  /** What becomes of a question; and what is said after all. */
  async function unreachable(connect: () => AccountStub) {
    const admission = await requestLease(connect, REQUEST);
    if (admission.kind !== "unreachable") throw new Error(admission.kind);
    // Looked at at once, as a late answer may be a rejection.
    const late = admission.late.catch((cause: unknown) => `rejected: ${String(cause)}`);
    return { cause: String(admission.cause), late };
  }

  test("fails: no pass", async () => {
    const { cause, late } = await unreachable(() => stub({ admit: () => Promise.reject(new Error("overloaded")) }));
    expect({ cause, late: await late }).toEqual({ cause: "Error: overloaded", late: "rejected: Error: overloaded" });
  });

  test("cannot even be asked: no pass", async () => {
    const { late } = await unreachable(() => {
      throw new Error("stub creation rate");
    });
    expect(await late).toBe("rejected: Error: stub creation rate");
  });

  test("hangs: given up after five seconds, and what it says after all is still heard", async () => {
    const waited = vi.spyOn(globalThis, "setTimeout").mockImplementation((run: () => void) => {
      run();
      return 0 as unknown as ReturnType<typeof setTimeout>;
    });
    const { promise, resolve } = Promise.withResolvers<Decision>();
    const { late } = await unreachable(() => stub({ admit: () => promise, confirm: () => NEVER }));
    expect(waited).toHaveBeenCalledExactlyOnceWith(expect.any(Function), 5_000);
    waited.mockRestore();
    resolve(ADMITTED);
    expect(await late).toEqual(ADMITTED);
  });
});

async function leaseBy(connect: () => AccountStub): Promise<Lease> {
  const admission = await requestLease(connect, REQUEST);
  if (admission.kind !== "admitted") throw new Error(admission.kind);
  return admission.lease;
}

describe("the confirmation", () => {
  test("travels with the question, on the same stub, and is not waited for", async () => {
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

  test.each<{ name: string; confirm: AccountStub["confirm"]; confirmed: boolean }>([
    { name: "yes", confirm: () => Promise.resolve(true), confirmed: true },
    { name: "no", confirm: () => Promise.resolve(false), confirmed: false },
    {
      name: "that fails is a no, not a rejection",
      confirm: () => Promise.reject(new Error("reset")),
      confirmed: false,
    },
  ])("$name", async ({ confirm, confirmed }) => {
    expect(await (await leaseBy(() => stub({ confirm }))).confirmed).toBe(confirmed);
  });
});

describe("while a request runs", () => {
  type Renewal = { readonly by: number; readonly id: string; readonly progress: Progress };

  /** A lease, with the renewals that reached the object, and by which stub. */
  async function renewing(renew: AccountStub["renew"] = () => Promise.resolve(true)) {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const renewals: Renewal[] = [];
    let stubs = 0;
    const lease = await leaseBy(() => {
      const by = stubs++;
      return stub({
        renew: (id, progress) => {
          renewals.push({ by, id, progress });
          return renew(id, progress);
        },
      });
    });
    return { lease, renewals };
  }

  test("its lease is renewed every ten seconds, by a fresh stub, with what is known by then", async () => {
    const { lease, renewals } = await renewing();
    const { id } = REQUEST.ifAbandoned;
    let completionTokens = 0;
    lease.hold(() => ({ completionTokens: completionTokens++ }));
    vi.advanceTimersByTime(9_999);
    expect(renewals).toEqual([]);
    vi.advanceTimersByTime(20_001);
    expect(renewals).toEqual([
      { by: 1, id, progress: { completionTokens: 0 } },
      { by: 2, id, progress: { completionTokens: 1 } },
      { by: 3, id, progress: { completionTokens: 2 } },
    ]);
  });

  test("nobody renews a lease that is not held, nor one twice as often that is held twice", async () => {
    const { lease, renewals } = await renewing();
    vi.advanceTimersByTime(60_000);
    expect(renewals).toEqual([]);
    lease.hold(() => ({}));
    lease.hold(() => ({}));
    vi.advanceTimersByTime(10_000);
    expect(renewals).toHaveLength(1);
  });

  test("a renewal that fails is followed by another, and rejects nowhere", async () => {
    const { lease, renewals } = await renewing(() => Promise.reject(new Error("broken")));
    lease.hold(() => ({}));
    await vi.advanceTimersByTimeAsync(20_000);
    expect(renewals).toHaveLength(2);
  });

  test("with its end renewals end", async () => {
    const { lease, renewals } = await renewing();
    lease.hold(() => ({}));
    vi.advanceTimersByTime(10_000);
    await lease.settle(eventWith());
    vi.advanceTimersByTime(60_000);
    expect(renewals).toHaveLength(1);
  });
});

describe("settling", () => {
  type Settled = { readonly by: number; readonly event: InferenceEvent };

  /** A lease whose settles fail so often, with those that were tried. */
  async function settling(failures: number, cause: Error) {
    const settled: Settled[] = [];
    let stubs = 0;
    const lease = await leaseBy(() => {
      const by = stubs++;
      return stub({
        settle: (event) => {
          settled.push({ by, event });
          return settled.length <= failures ? Promise.reject(cause) : Promise.resolve();
        },
      });
    });
    return { lease, settled };
  }

  test("goes to a fresh stub, and once more to another when that breaks", async () => {
    const { lease, settled } = await settling(1, new Error("broken"));
    const event = eventWith();
    await lease.settle(event);
    expect(settled).toEqual([
      { by: 1, event },
      { by: 2, event },
    ]);
  });

  test("with an object that stays unreachable is told to who settles", async () => {
    const { lease, settled } = await settling(9, new Error("gone"));
    await expect(lease.settle(eventWith())).rejects.toThrow("gone");
    expect(settled).toHaveLength(2);
  });

  test("is not needed by who undoes its admission, which a fresh stub is told", async () => {
    const released: string[] = [];
    let stubs = 0;
    const lease = await leaseBy(() => {
      const by = stubs++;
      return stub({ release: async (id) => void released.push(`${by} ${id}`) });
    });
    lease.hold(() => ({}));
    await lease.release(eventWith());
    expect(released).toEqual([`1 ${REQUEST.ifAbandoned.id}`]);
  });

  test("does not ask an object twice that has too much to do", async () => {
    const { lease, settled } = await settling(9, Object.assign(new Error("too much"), { overloaded: true }));
    await expect(lease.settle(eventWith())).rejects.toThrow("too much");
    expect(settled).toHaveLength(1);
  });
});
