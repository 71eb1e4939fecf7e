import { describe, expect, test } from "vitest";
import {
  type AccountState,
  type AdmitRequest,
  admit,
  type Decision,
  NEW_ACCOUNT,
  settle,
  standingsOf,
} from "#src/limits/account.ts";
import { Leases, type OpenLease } from "#src/limits/leases.ts";
import type { Cost, Limit } from "#src/limits/windows.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";

const START_MS = 1_790_000_000_000;
const HOUR_MS = 3_600_000;
const RPM: Limit = { name: "rpm", unit: "requests", max: 2, windowMs: 60_000 };
const RPH: Limit = { name: "rph", unit: "requests", max: 3, windowMs: HOUR_MS };
const TPM: Limit = { name: "tpm", unit: "tokens", max: 100, windowMs: 60_000 };
const BUDGET: Limit = { name: "budget-day", unit: "micros", max: 1_000, windowMs: 24 * HOUR_MS };
const SLOT = { name: "concurrency", max: 2 };

function asking(changed: Partial<AdmitRequest> = {}): AdmitRequest {
  const cost = { requests: 1, tokens: 0, micros: 0 };
  const ifAbandoned = eventWith({ outcome: "abandoned", promptTokens: 30, completionTokens: 10, costMicros: null });
  return { limits: [RPM], slots: [], cost, keyId: null, ifAbandoned, ...changed };
}

const costing = (tokens: number, micros = 0): Cost => ({ requests: 1, tokens, micros });

/** Asks at each of these times, anew each time; what was decided, and what is left behind. */
function run(
  changed: Partial<AdmitRequest>,
  wallsMs: readonly number[],
  from: AccountState = NEW_ACCOUNT,
  leases = new Leases(),
) {
  let state = from;
  const decisions = wallsMs.map((wallMs) => {
    const next = admit(state, leases, asking(changed), [], wallMs);
    state = next.state;
    if (next.lease !== null) leases.open(next.lease);
    return next.decision;
  });
  return { decisions, kinds: decisions.map(({ kind }) => kind), state, leases };
}

function refused(decision: Decision | undefined): Extract<Decision, { kind: "denied" }> {
  if (decision?.kind !== "denied") throw new Error(`not refused: ${decision?.kind}`);
  return decision;
}

function opened(lease: OpenLease | null): OpenLease {
  if (lease === null) throw new Error("no lease");
  return lease;
}

describe("an admission", () => {
  test("makes a lease with all that it was charged, and the event as it stands if nobody settles", () => {
    const request = asking({ limits: [RPM, TPM], slots: [SLOT], cost: costing(40) });
    const credits = [{ limit: TPM, atMs: 5, units: 40 }];
    const { decision, lease } = admit(NEW_ACCOUNT, new Leases(), request, credits, START_MS);
    expect(decision).toMatchObject({
      kind: "admitted",
      standings: {
        windows: [
          { limit: RPM, remaining: 1 },
          { limit: TPM, remaining: 60 },
        ],
        slots: [{ slot: SLOT, remaining: 1 }],
      },
    });
    expect(lease).toEqual({
      id: request.ifAbandoned.id,
      slots: ["concurrency"],
      charge: { limits: [RPM, TPM], cost: costing(40), atMs: START_MS },
      credits,
      event: request.ifAbandoned,
      openedAtMs: START_MS,
      heardAtMs: START_MS,
      doubtedAtMs: null,
    });
  });

  test("does not change the state that it is given", () => {
    const { state } = run({}, [START_MS]);
    const before = structuredClone(state);
    admit(state, new Leases(), asking(), [], START_MS + 1);
    expect(state).toEqual(before);
  });

  test("counts after the state was stored as JSON, too", () => {
    const stored: AccountState = JSON.parse(JSON.stringify(run({}, [START_MS, START_MS]).state));
    expect(run({}, [START_MS + 1], stored).kinds).toEqual(["denied"]);
  });

  test("keeps the counts of limits that it does not name", () => {
    const { state } = run({ limits: [RPM, RPH] }, [START_MS, START_MS]);
    const after = run({}, [START_MS + 61_000], state).state;
    // One more in the hour, which the request between did not count in.
    expect(run({ limits: [RPH] }, [START_MS + 61_000, START_MS + 61_000], after).kinds).toEqual(["admitted", "denied"]);
  });
});

describe("a refusal", () => {
  test.each<{ name: string; changed: Partial<AdmitRequest>; before: number; violated: { name: string; unit: string } }>(
    [
      { name: "requests", changed: { limits: [RPM, TPM] }, before: 2, violated: { name: "rpm", unit: "requests" } },
      {
        name: "tokens",
        changed: { limits: [{ ...RPM, max: 9 }, TPM], cost: costing(60) },
        before: 1,
        violated: { name: "tpm", unit: "tokens" },
      },
      {
        name: "money",
        changed: { limits: [BUDGET], cost: costing(0, 600) },
        before: 1,
        violated: { name: "budget-day", unit: "micros" },
      },
      {
        name: "requests in flight",
        changed: { limits: [TPM], slots: [SLOT] },
        before: 2,
        violated: { name: "concurrency", unit: "concurrent-requests" },
      },
      {
        name: "the limit that is waited for longest, of several",
        changed: { limits: [RPM, { ...RPH, max: 2 }], slots: [SLOT] },
        before: 2,
        violated: { name: "rph", unit: "requests" },
      },
    ],
  )("names what refused: $name", ({ changed, before, violated }) => {
    const { decisions } = run(changed, Array<number>(before + 1).fill(START_MS));
    expect(decisions.slice(0, before).map(({ kind }) => kind)).toEqual(Array<string>(before).fill("admitted"));
    expect(refused(decisions[before]).violated).toEqual(violated);
  });

  test("names the limit that the request alone exceeds, also when another one is waited for longer", () => {
    const { state, leases } = run({ limits: [RPM, { ...RPH, max: 1 }, TPM] }, [START_MS]);
    const request = asking({ limits: [RPM, { ...RPH, max: 1 }, TPM], cost: costing(101) });
    const { violated, retryAfterMs } = refused(admit(state, leases, request, [], START_MS + 1).decision);
    expect({ violated, retryAfterMs }).toEqual({ violated: { name: "tpm", unit: "tokens" }, retryAfterMs: null });
  });

  test.each<{ name: string; changed: Partial<AdmitRequest> }>([
    { name: "by a window: no slot is taken", changed: { limits: [{ ...RPM, max: 1 }], slots: [SLOT] } },
    {
      name: "by a slot: no window is charged",
      changed: { limits: [RPM, TPM], slots: [{ ...SLOT, max: 1 }], cost: costing(20) },
    },
    { name: "by one window: no other is charged", changed: { limits: [RPM, { ...TPM, max: 30 }], cost: costing(20) } },
  ])("takes nothing, refused $name", ({ changed }) => {
    const { state, leases } = run(changed, [START_MS]);
    const whole = { limits: [RPM, TPM, RPH], slots: [{ name: "concurrency", max: 9 }] };
    const before = standingsOf(state, leases, whole, START_MS + 1);
    const { decision, state: after, lease } = admit(state, leases, asking(changed), [], START_MS + 1);
    expect({ kind: decision.kind, lease, open: leases.size }).toEqual({ kind: "denied", lease: null, open: 1 });
    expect(standingsOf(after, leases, whole, START_MS + 1)).toEqual(before);
  });

  test("says how long to wait: that long is enough, and one ms less is not", () => {
    const { state, leases } = run({}, [START_MS, START_MS]);
    const first = admit(state, leases, asking(), [], START_MS + 1);
    const waitMs = refused(first.decision).retryAfterMs ?? Number.NaN;
    const kindAfter = (ms: number) => admit(first.state, leases, asking(), [], START_MS + 1 + ms).decision.kind;
    expect([kindAfter(waitMs - 1), kindAfter(waitMs)]).toEqual(["denied", "admitted"]);
  });

  test("by a slot says when one is likely to be free, a second at least", () => {
    const { decisions } = run({ slots: [{ ...SLOT, max: 1 }] }, [START_MS, START_MS + 5]);
    expect(refused(decisions[1]).retryAfterMs).toBe(1_000);
  });

  test("by a window and a slot: the longer wait", () => {
    const { decisions } = run({ limits: [{ ...RPM, max: 1 }], slots: [{ ...SLOT, max: 1 }] }, [START_MS, START_MS]);
    expect(refused(decisions[1]).retryAfterMs).toBeGreaterThanOrEqual(60_000);
  });

  test("shows how everything stands", () => {
    const { decisions } = run({ limits: [RPM, RPH], slots: [{ ...SLOT, max: 1 }] }, [START_MS, START_MS]);
    const { windows, slots } = refused(decisions[1]).standings;
    expect(windows.map(({ remaining }) => remaining)).toEqual([1, 2]);
    expect(slots).toEqual([{ slot: { ...SLOT, max: 1 }, remaining: 0 }]);
  });
});

describe("a request that has ended", () => {
  /** What is left in the windows once one request was admitted and settled so. */
  function leftAfter(reserved: Cost, event: Partial<InferenceEvent>): number[] {
    const request = asking({ limits: [RPM, TPM, BUDGET], cost: reserved });
    const { state, lease } = admit(NEW_ACCOUNT, new Leases(), request, [], START_MS);
    const after = settle(state, opened(lease).charge, eventWith({ ...request.ifAbandoned, ...event }));
    return standingsOf(after, new Leases(), request, START_MS + 1).windows.map(({ remaining }) => remaining);
  }

  test.each<{ name: string; event: Partial<InferenceEvent>; left: number[] }>([
    {
      name: "less than was reserved",
      event: { promptTokens: 10, completionTokens: 5, costMicros: 100 },
      left: [1, 85, 900],
    },
    { name: "as much", event: { promptTokens: 30, completionTokens: 10, costMicros: 400 }, left: [1, 60, 600] },
    { name: "more", event: { promptTokens: 30, completionTokens: 50, costMicros: 800 }, left: [1, 20, 200] },
    {
      name: "nothing, and is a request all the same",
      event: { promptTokens: 0, completionTokens: 0, costMicros: 0 },
      left: [1, 100, 1_000],
    },
    {
      name: "nobody knows how much money: what was reserved stays",
      event: { promptTokens: 30, completionTokens: 10, costMicros: null },
      left: [1, 60, 600],
    },
  ])("cost $name", ({ event, left }) => {
    expect(leftAfter(costing(40, 400), event)).toEqual(left);
  });

  test("cost money that nobody had reserved, because its price is by host time", () => {
    expect(leftAfter(costing(40, 0), { promptTokens: 30, completionTokens: 10, costMicros: 700 })).toEqual([
      1, 60, 300,
    ]);
  });

  test("is corrected where it was charged: it leaves its windows when it would have left them anyway", () => {
    const request = asking({ limits: [TPM], cost: costing(40) });
    const { state, lease } = admit(NEW_ACCOUNT, new Leases(), request, [], START_MS);
    const after = settle(state, opened(lease).charge, eventWith({ promptTokens: 100, completionTokens: 0 }));
    const kindAt = (ms: number) => admit(after, new Leases(), request, [], START_MS + ms).decision.kind;
    expect([kindAt(60_999), kindAt(61_000)]).toEqual(["denied", "admitted"]);
  });

  test("without a charge of its own corrects nothing", () => {
    const { state } = run({ limits: [TPM], cost: costing(40) }, [START_MS]);
    expect(settle(state, undefined, eventWith({ promptTokens: 0, completionTokens: 0 }))).toBe(state);
  });
});

test("looking spends nothing and changes nothing", () => {
  const { state, leases } = run({ slots: [SLOT] }, [START_MS]);
  const before = structuredClone(state);
  const looks = [1, 2, 3].map((ms) => standingsOf(state, leases, { limits: [RPM], slots: [SLOT] }, START_MS + ms));
  for (const look of looks)
    expect(look).toMatchObject({ windows: [{ remaining: 1 }], slots: [{ slot: SLOT, remaining: 1 }] });
  expect(state).toEqual(before);
});

describe("a clock that is wrong", () => {
  test("steps back an hour: nobody is admitted again", () => {
    const { state } = run({}, [START_MS, START_MS]);
    expect(run({}, [START_MS - HOUR_MS], state).kinds).toEqual(["denied"]);
  });

  test("steps back an hour: nobody is locked out for longer than the window and a slice", () => {
    const { state } = run({}, [START_MS, START_MS, START_MS - HOUR_MS]);
    expect(run({}, [START_MS - HOUR_MS + 60_999, START_MS - HOUR_MS + 61_000], state).kinds).toEqual([
      "denied",
      "admitted",
    ]);
  });

  test("leaps ahead an hour, and the machine that asks does not: nobody is admitted again, and no slot is free", () => {
    const leases = new Leases();
    const before = admit(
      NEW_ACCOUNT,
      leases,
      asking({ limits: [TPM], slots: [SLOT], cost: costing(100) }),
      [],
      START_MS,
      START_MS,
    );
    leases.open(opened(before.lease));
    const ask = (changed: Partial<AdmitRequest>) =>
      admit(before.state, leases, asking(changed), [], START_MS + HOUR_MS, START_MS + 1).decision.kind;
    expect(ask({ limits: [TPM], cost: costing(1) })).toBe("denied");
    expect(ask({ limits: [], slots: [{ ...SLOT, max: 1 }] })).toBe("denied");
    expect(ask({ limits: [RPM], slots: [SLOT] })).toBe("admitted");
  });
});

describe("a retired API key", () => {
  const state: AccountState = { ...NEW_ACCOUNT, retiredKeys: { key_1: START_MS } };

  test("is refused before anything is counted", () => {
    const result = admit(state, new Leases(), asking({ keyId: "key_1" }), [], START_MS);
    expect(result).toEqual({ state, decision: { kind: "key_retired" }, lease: null });
  });

  const asked = (from: AccountState, wallMs: number, askedAtMs: number | null = null) =>
    admit(from, new Leases(), asking({ keyId: "key_1" }), [], wallMs, askedAtMs);

  test("opens until its end, also where a clock leapt ahead", () => {
    const before = asked(state, START_MS - 7_000, START_MS - 7_000);
    expect(before.decision.kind).toBe("admitted");
    expect(asked(before.state, START_MS + HOUR_MS, START_MS - 1_000).decision.kind).toBe("admitted");
    expect(asked(before.state, START_MS, START_MS).decision.kind).toBe("key_retired");
  });

  test("opens nothing again when the clock steps back", () => {
    const { state: after } = admit(state, new Leases(), asking(), [], START_MS + 1);
    expect(asked(after, START_MS - HOUR_MS).decision.kind).toBe("key_retired");
  });
});
