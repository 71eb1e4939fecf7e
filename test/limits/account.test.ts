import { describe, expect, test } from "vitest";
import { type AccountState, type AdmitRequest, admit, isRetired, NEW_ACCOUNT, retireKey } from "#src/limits/account.ts";
import { eventWith } from "#test/support/events.ts";

const START_MS = 1_790_000_000_000;
const HOUR_MS = 3_600_000;
const RPM = { name: "rpm", max: 2, windowMs: 60_000 };
const RPH = { name: "rph", max: 3, windowMs: HOUR_MS };

function asking(limits = [RPM]): AdmitRequest {
  return { limits, leaseMs: 5_000, keyId: null, ifAbandoned: eventWith({ outcome: "abandoned" }) };
}

/** Asks at each of these times; what was decided, and the state after. */
function run(request: AdmitRequest, wallsMs: readonly number[], from: AccountState = NEW_ACCOUNT) {
  let state = from;
  const kinds = wallsMs.map((wallMs) => {
    const next = admit(state, request, wallMs);
    state = next.state;
    return next.decision.kind;
  });
  return { kinds, state };
}

test("an admission makes the lease's row: the event as it stands if nobody settles, and when it expires", () => {
  const request = asking();
  const { decision, row } = admit(NEW_ACCOUNT, request, START_MS);
  expect(decision).toMatchObject({ kind: "admitted", standings: [{ limit: RPM, remaining: 1 }] });
  expect(row).toEqual({ id: request.ifAbandoned.id, expiresMs: START_MS + 5_000, event: request.ifAbandoned });
});

test("a refusal makes none, takes nothing and says how long to wait", () => {
  const { state } = run(asking(), [START_MS, START_MS]);
  const refused = admit(state, asking(), START_MS + 1);
  expect(refused.row).toBeNull();
  expect(refused.decision).toMatchObject({ kind: "denied", standings: [{ remaining: 0 }] });
  const waitMs = refused.decision.kind === "denied" ? refused.decision.retryAfterMs : Number.NaN;
  expect(admit(refused.state, asking(), START_MS + 1 + waitMs - 1).decision.kind).toBe("denied");
  expect(admit(refused.state, asking(), START_MS + 1 + waitMs).decision.kind).toBe("admitted");
});

test("the state given is not changed", () => {
  const { state } = run(asking(), [START_MS]);
  const before = structuredClone(state);
  admit(state, asking(), START_MS + 1);
  expect(state).toEqual(before);
});

test("the state survives its storage as JSON", () => {
  const { state } = run(asking(), [START_MS, START_MS]);
  const stored: AccountState = JSON.parse(JSON.stringify(state));
  expect(run(asking(), [START_MS + 1], stored).kinds).toEqual(["denied"]);
});

test("counts of limits that a request does not name are kept", () => {
  const { state } = run(asking([RPM, RPH]), [START_MS, START_MS]);
  const after = run(asking([RPM]), [START_MS + 61_000], state).state;
  // One more in the hour, which the request between did not count in.
  expect(run(asking([RPH]), [START_MS + 61_000, START_MS + 61_000], after).kinds).toEqual(["admitted", "denied"]);
});

describe("a wall clock that steps back an hour", () => {
  test("admits nobody again", () => {
    const { state } = run(asking(), [START_MS, START_MS]);
    expect(run(asking(), [START_MS - HOUR_MS], state).kinds).toEqual(["denied"]);
  });

  test("locks nobody out for longer than the window", () => {
    const { state } = run(asking(), [START_MS, START_MS, START_MS - HOUR_MS]);
    expect(run(asking(), [START_MS - HOUR_MS + 61_000], state).kinds).toEqual(["admitted"]);
  });
});

describe("a retired API key", () => {
  const DAY_MS = 24 * HOUR_MS;
  const retired = retireKey(NEW_ACCOUNT, "key_1", START_MS, START_MS);

  test("is refused before anything is counted", () => {
    const { state, decision, row } = admit(retired, { ...asking(), keyId: "key_1" }, START_MS);
    expect({ state, decision, row }).toEqual({ state: retired, decision: { kind: "key_retired" }, row: null });
  });

  test.each<{ name: string; keyId: string | null; wallMs: number; retired: boolean }>([
    { name: "at its end", keyId: "key_1", wallMs: START_MS, retired: true },
    { name: "before it", keyId: "key_1", wallMs: START_MS - 1, retired: false },
    { name: "another key", keyId: "key_2", wallMs: START_MS, retired: false },
    { name: "no key", keyId: null, wallMs: START_MS, retired: false },
    { name: "a name that every object has", keyId: "constructor", wallMs: START_MS, retired: false },
  ])("$name: $retired", ({ keyId, wallMs, retired: expected }) => {
    expect(isRetired(retired, keyId, wallMs)).toBe(expected);
  });

  test.each([
    { name: "put off, keeps its end", fromMs: START_MS + HOUR_MS, endMs: START_MS },
    { name: "brought forward, has the earlier one", fromMs: START_MS - HOUR_MS, endMs: START_MS - HOUR_MS },
  ])("$name", ({ fromMs, endMs }) => {
    expect(retireKey(retired, "key_1", fromMs, START_MS).retiredKeys).toEqual({ key_1: endMs });
  });

  test("is forgotten after thirty days, when another one is retired", () => {
    const at = (wallMs: number) => Object.keys(retireKey(retired, "key_2", wallMs, wallMs).retiredKeys);
    expect(at(START_MS + 30 * DAY_MS - 1)).toEqual(["key_1", "key_2"]);
    expect(at(START_MS + 30 * DAY_MS)).toEqual(["key_2"]);
  });

  test("survives its storage as JSON, beside an account that was stored before there were any", () => {
    expect(isRetired(JSON.parse(JSON.stringify(retired)), "key_1", START_MS)).toBe(true);
  });
});
