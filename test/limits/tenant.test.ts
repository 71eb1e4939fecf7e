import { describe, expect, test } from "vitest";
import type { Credit, Wanted } from "#src/limits/grants.ts";
import { grant, NEW_TENANT, type TenantAnswer, type TenantState } from "#src/limits/tenant.ts";
import type { Limit } from "#src/limits/windows.ts";

const START_MS = 1_790_000_000_000;
const HOUR_MS = 3_600_000;
/** 61/60 of a minute: for so long a unit may still be spent and then counts for a minute. And a slice of that. */
const COUNTS_MS = 61_000;
const SLICE_MS = COUNTS_MS / 60;
const RPM: Limit = { name: "rpm/tenant", unit: "requests", max: 10, windowMs: 60_000 };
const TPM: Limit = { name: "tpm/tenant", unit: "tokens", max: 1_000, windowMs: 60_000 };

/** Puts these questions one after the other; the answers, and the state after. */
function run(questions: readonly { wanted: Wanted[]; credits?: Credit[]; wallMs?: number }[], from = NEW_TENANT) {
  let state: TenantState = from;
  const answers = questions.map(({ wanted, credits = [], wallMs = START_MS }) => {
    const next = grant(state, wanted, credits, wallMs);
    state = next.state;
    return next.answer;
  });
  return { answers, state };
}

const requests = (units: number, limit = RPM): Wanted[] => [{ limit, units }];
const tokens = (units: number): Wanted[] => [{ limit: TPM, units }];

function unitsOf(answer: TenantAnswer | undefined): number[] {
  return answer?.kind === "granted" ? answer.grants.map(({ units }) => units) : [];
}

describe("a question", () => {
  test("is granted what it needs until the cap is reached, by the tenant's clock", () => {
    const { answers } = run([{ wanted: requests(4) }, { wanted: requests(6) }, { wanted: requests(1) }]);
    expect(answers).toMatchObject([
      { kind: "granted", atMs: START_MS, grants: [{ limit: RPM, units: 4 }] },
      { kind: "granted", grants: [{ units: 6 }] },
      { kind: "denied", violated: { limit: RPM, remaining: 0 } },
    ]);
  });

  test("is granted some in advance, as far as there is", () => {
    const { answers } = run([
      { wanted: tokens(5) },
      { wanted: tokens(965) },
      { wanted: tokens(5) },
      { wanted: tokens(5) },
    ]);
    expect(answers.map(unitsOf)).toEqual([[20], [965], [15], []]);
  });

  test("is granted everything or nothing, and a refusal takes nothing", () => {
    const { answers, state } = run([
      { wanted: requests(10) },
      { wanted: [...tokens(400), ...requests(1)] },
      { wanted: tokens(1_000) },
    ]);
    expect(answers.map(({ kind }) => kind)).toEqual(["granted", "denied", "granted"]);
    expect(run([{ wanted: tokens(1) }], state).answers[0]?.kind).toBe("denied");
  });

  test("that no waiting can help is told so", () => {
    const { answers } = run([{ wanted: requests(11) }]);
    expect(answers[0]).toMatchObject({ kind: "denied", retryAfterMs: null });
  });

  test("does not change the state that it is given, and that may be stored as JSON", () => {
    const { state } = run([{ wanted: requests(10) }]);
    const before = structuredClone(state);
    const stored: TenantState = JSON.parse(JSON.stringify(state));
    expect(run([{ wanted: requests(1) }], state).answers[0]?.kind).toBe("denied");
    expect(run([{ wanted: requests(1) }], stored).answers[0]?.kind).toBe("denied");
    expect(state).toEqual(before);
  });
});

describe("a unit that was granted", () => {
  const spent = run([{ wanted: requests(10) }]).state;

  test("counts for as long as it may be spent and a window more, and a slice at most beyond", () => {
    const at = (ms: number) => run([{ wanted: requests(1), wallMs: START_MS + ms }], spent).answers[0]?.kind;
    expect(at(COUNTS_MS)).toBe("denied");
    expect(at(COUNTS_MS + SLICE_MS)).toBe("granted");
  });

  test("is waited for as long as the refusal says, and no longer", () => {
    const [refused] = run([{ wanted: requests(1), wallMs: START_MS + 5 }], spent).answers;
    if (refused?.kind !== "denied") throw new Error("not refused");
    const at = (ms: number) => run([{ wanted: requests(1), wallMs: START_MS + 5 + ms }], spent).answers[0]?.kind;
    const waitMs = refused.retryAfterMs ?? Number.NaN;
    expect([at(waitMs - 1), at(waitMs)]).toEqual(["denied", "granted"]);
  });

  test("and not spent comes back with the next question, and that alone", () => {
    const credits = [{ limit: RPM, atMs: START_MS, units: 3 }];
    const { answers } = run([{ wanted: requests(3), credits }, { wanted: requests(1) }], spent);
    expect(answers.map(({ kind }) => kind)).toEqual(["granted", "denied"]);
  });

  test("comes back also with a question that is refused", () => {
    const credits = [{ limit: RPM, atMs: START_MS, units: 3 }];
    const { answers } = run([{ wanted: requests(4), credits }, { wanted: requests(3) }], spent);
    expect(answers.map(({ kind }) => kind)).toEqual(["denied", "granted"]);
  });

  test("and more, which a request turned out to cost, is counted", () => {
    const credits = [{ limit: RPM, atMs: START_MS, units: -4 }];
    const { answers } = run([{ wanted: requests(5) }, { wanted: requests(2), credits }]);
    expect(answers.map(({ kind }) => kind)).toEqual(["granted", "denied"]);
  });
});

describe("a clock that is wrong", () => {
  const spent = run([{ wanted: requests(10) }]).state;

  test("steps back an hour: grants nothing again, and locks nobody out for longer than before", () => {
    const stepped = START_MS - HOUR_MS;
    const { answers } = run(
      [
        { wanted: requests(1), wallMs: stepped },
        { wanted: requests(1), wallMs: stepped + COUNTS_MS },
        { wanted: requests(1), wallMs: stepped + COUNTS_MS + SLICE_MS },
      ],
      spent,
    );
    expect(answers.map(({ kind }) => kind)).toEqual(["denied", "denied", "granted"]);
  });

  test("leaps ahead, and those that ask do not: nothing is granted again", () => {
    const first = grant(NEW_TENANT, requests(10), [], START_MS, START_MS);
    const leapt = grant(first.state, requests(1), [], START_MS + HOUR_MS, START_MS + 10);
    expect([first.answer.kind, leapt.answer.kind]).toEqual(["granted", "denied"]);
  });
});
