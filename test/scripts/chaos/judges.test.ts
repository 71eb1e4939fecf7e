// The judges of chaos: each goal that is missed is found, and only it.
import { describe, expect, test } from "vitest";
import type { Seen } from "#scripts/chaos/caller.ts";
import type { Finding } from "#scripts/chaos/finding.ts";
import { judgeFlap, judgeKill } from "#scripts/chaos/judge-outage.ts";
import { judgeOverload, type OverloadFacts } from "#scripts/chaos/judge-overload.ts";
import { type AffinityFacts, judgeAffinity, judgeShares } from "#scripts/chaos/judge-spread.ts";
import type { Entries } from "#scripts/chaos/ledger.ts";
import { failed, refused, seen, times } from "./seen.ts";

const missedIn = (findings: readonly Finding[]): string[] =>
  findings.filter(({ holds }) => holds === false).map(({ what }) => what.trim());

const entriesOf = (questions: readonly Seen[], attempts = 1): Entries =>
  new Map(
    questions.map(({ requestId, host }) => {
      const id = requestId ?? "";
      return [id, { id, host, outcome: "complete", attempts, queueWaitMs: null }];
    }),
  );

describe("a host that is killed", () => {
  const before = times(20, (at) => seen({ sentAtMs: at * 100, host: at % 2 === 0 ? "b" : "a" }));
  const without = times(20, (at) => seen({ sentAtMs: 2_000 + at * 1_000 }));
  const back = seen({ sentAtMs: 30_000, host: "b" });
  const good = [...before, ...without, back];
  const judged = (questions: readonly Seen[], attempts = 1): string[] =>
    missedIn(
      judgeKill({
        seen: questions,
        entries: entriesOf(questions, attempts),
        victim: "b",
        killedAtMs: 2_000,
        upAtMs: 20_000,
      }),
    );
  const cases: { name: string; questions: Seen[]; attempts?: number; missed: RegExp[] }[] = [
    { name: "all is well", questions: good, missed: [] },
    { name: "five failed at once", questions: [...good, ...times(5, () => failed({ sentAtMs: 2_100 }))], missed: [] },
    {
      name: "six failed at once",
      questions: [...good, ...times(6, () => failed({ sentAtMs: 2_100 }))],
      missed: [/^failed requests/],
    },
    { name: "one failed later", questions: [...good, failed({ sentAtMs: 12_500 })], missed: [/after the kill/] },
    { name: "one was refused later", questions: [...good, refused({ sentAtMs: 12_500 })], missed: [/after the kill/] },
    { name: "it stays away", questions: [...before, ...without], missed: [/back on the host/] },
    {
      name: "it comes back late",
      questions: [...before, ...without, seen({ sentAtMs: 55_001, host: "b" })],
      missed: [/back on the host/],
    },
    {
      name: "its return is known by the ledger alone",
      questions: [...before, ...without, { ...back, requestId: "late", host: null }],
      missed: [/back on the host/],
    },
    { name: "it never had any traffic", questions: [...without, back], missed: [/before it was killed/] },
    { name: "two calls for each request", questions: good, attempts: 2, missed: [/upstream calls/] },
  ];
  test.each(cases)("$name", ({ questions, attempts, missed }) => {
    expect(judged(questions, attempts)).toEqual(missed.map((what) => expect.stringMatching(what)));
  });

  test("a host that only the ledger names counts", () => {
    const late = { ...back, host: null };
    const entries = new Map([...entriesOf([...before, ...without]), ...entriesOf([back])]);
    const facts = { seen: [...before, ...without, late], entries, victim: "b", killedAtMs: 2_000, upAtMs: 20_000 };
    expect(missedIn(judgeKill(facts))).toEqual([]);
  });

  test("without a ledger nothing is known of the calls", () => {
    const facts = { seen: good, entries: new Map(), victim: "b", killedAtMs: 2_000, upAtMs: 20_000 };
    expect(missedIn(judgeKill(facts))).toEqual([expect.stringMatching(/upstream calls/)]);
  });
});

describe("a host that flaps", () => {
  const judged = (questions: readonly Seen[], falls = 3, attempts = 1): string[] =>
    missedIn(judgeFlap({ seen: questions, entries: entriesOf(questions, attempts), victim: "b", falls }));
  const cases: { name: string; failures: Seen[]; falls?: number; attempts?: number; missed: RegExp[] }[] = [
    { name: "one of a hundred failed", failures: [failed()], missed: [] },
    { name: "two of a hundred failed", failures: [failed(), failed()], missed: [/^failed requests/] },
    { name: "a refusal is a failure", failures: [failed(), refused()], missed: [/^failed requests/] },
    { name: "it never fell", failures: [], falls: 0, missed: [/went away/] },
    { name: "it is asked for nothing too often", failures: [], attempts: 2, missed: [/upstream calls/] },
  ];
  test.each(cases)("$name", ({ failures, falls, attempts, missed }) => {
    const whole = times(100 - failures.length, () => seen());
    expect(judged([...whole, ...failures], falls, attempts)).toEqual(missed.map((what) => expect.stringMatching(what)));
  });
});

describe("an overload", () => {
  const FROM = 5_000;
  // Ten callers, each an answer of 30 tokens a second for 40 s after the lead-in: 300 tokens/s.
  const served = (caller: number, perSecond = 1): Seen[] =>
    times(40 * perSecond, (at) => seen({ caller, sentAtMs: FROM + (at * 1_000) / perSecond, endAfterMs: 900 }));
  const good: OverloadFacts = {
    seen: [...times(10, (caller) => served(caller)).flat(), ...times(100, () => refused())],
    quiet: times(100, () => seen({ firstTokenAfterMs: 60 })),
    startedAtMs: 0,
    endedAtMs: FROM + 40_000,
    callers: 10,
    flooder: 0,
    tokensPerS: 310,
    slots: 4,
    most: 4,
    growth: 0.01,
    strain: { lateP99Ms: 1, load: 0.5, cores: 2 },
  };
  const plus = (...more: Seen[]): Partial<OverloadFacts> => ({ seen: [...good.seen, ...more] });
  const cases: { name: string; facts: Partial<OverloadFacts>; missed: RegExp[] }[] = [
    { name: "all is well", facts: {}, missed: [] },
    { name: "an answer that fails", facts: plus(failed()), missed: [/neither answered nor refused/] },
    { name: "nobody is refused", facts: { seen: good.seen.slice(0, 400) }, missed: [/^refused$/, /p99 of refusals/] },
    { name: "no word of when to come back", facts: plus(refused({ retryAfterS: null })), missed: [/Retry-After/] },
    { name: "come back at once", facts: plus(refused({ retryAfterS: 0 })), missed: [/Retry-After/] },
    { name: "little is done", facts: { tokensPerS: 400 }, missed: [/goodput/] },
    {
      name: "what is done before the lead-in does not count",
      facts: { seen: good.seen.map((one) => ({ ...one, sentAtMs: one.sentAtMs - FROM })) },
      missed: [/goodput/],
    },
    {
      name: "the admitted wait",
      facts: plus(...times(10, () => seen({ sentAtMs: -1_000, firstTokenAfterMs: 121 }))),
      missed: [/TTFT/],
    },
    { name: "nothing to compare their wait with", facts: { quiet: [] }, missed: [/TTFT/] },
    {
      name: "refusals dawdle",
      facts: plus(...times(2, () => refused({ headersAfterMs: 51 }))),
      missed: [/p99 of refusals/],
    },
    {
      name: "the one who floods gets more",
      facts: { seen: [...good.seen, ...served(0, 2)] },
      missed: [/Jain index.*all callers/],
    },
    {
      name: "one of the others gets nothing",
      facts: {
        seen: good.seen.filter(({ question }) => question.caller !== 3 && question.caller !== 4),
        tokensPerS: 200,
      },
      missed: [/Jain index.*all callers/, /Jain index.*without/],
    },
    { name: "one more than there are slots", facts: { most: 5 }, missed: [/most at once/] },
    { name: "memory grows", facts: { growth: 0.05 }, missed: [/memory/] },
    { name: "a system that does not tell its memory", facts: { growth: null }, missed: [] },
  ];
  test.each(cases)("$name", ({ facts, missed }) => {
    expect(missedIn(judgeOverload({ ...good, ...facts }))).toEqual(missed.map((what) => expect.stringMatching(what)));
  });
});

describe("shares", () => {
  const questions = times(100, (at) => seen({ host: at < 52 ? "a" : at < 80 ? "b" : "c" }));
  const cases: { name: string; more?: Seen[]; computed: Record<string, number> | null; missed: RegExp[] }[] = [
    { name: "as computed, within 5 points", computed: { a: 0.5, b: 0.3, c: 0.2 }, missed: [] },
    { name: "6 points off", computed: { a: 0.46, b: 0.34, c: 0.2 }, missed: [/shares/] },
    {
      name: "a host that is computed and gets nothing",
      computed: { a: 0.5, b: 0.24, c: 0.2, d: 0.06 },
      missed: [/shares/],
    },
    { name: "a host that gets something and is not computed", computed: { a: 0.6, b: 0.4 }, missed: [/shares/] },
    { name: "nothing is told", computed: null, missed: [/shares/] },
    {
      name: "one without an answer",
      more: [failed()],
      computed: { a: 0.5, b: 0.3, c: 0.2 },
      missed: [/without an answer/],
    },
  ];
  test.each(cases)("$name", ({ more = [], computed, missed }) => {
    const findings = judgeShares("weighted", [...questions, ...more], computed);
    expect(missedIn(findings)).toEqual(missed.map((what) => expect.stringMatching(what)));
  });
});

describe("affinity", () => {
  const over = (...counts: number[]): Seen[] =>
    counts.flatMap((count, at) => times(count, () => seen({ host: "abcd"[at] ?? "a" })));
  const good: AffinityFacts = {
    hosts: ["a", "b", "c", "d"],
    entries: new Map(),
    with: { seen: over(25, 25, 25, 25), queriedTokens: 1_000, hitTokens: 601 },
    without: { seen: over(40, 20, 20, 20), queriedTokens: 1_000, hitTokens: 200 },
  };
  const cases: { name: string; facts: Partial<AffinityFacts>; missed: RegExp[] }[] = [
    { name: "three times as many hits", facts: {}, missed: [] },
    { name: "fewer", facts: { with: { ...good.with, hitTokens: 590 } }, missed: [/hits/] },
    { name: "no prompt was read", facts: { with: { ...good.with, queriedTokens: 0, hitTokens: 0 } }, missed: [/hits/] },
    {
      name: "one host has too much",
      facts: { with: { ...good.with, seen: over(32, 23, 23, 22) } },
      missed: [/busiest/],
    },
    { name: "nobody knows which hosts", facts: { with: { ...good.with, seen: [] } }, missed: [/busiest/] },
    {
      name: "one fails",
      facts: { with: { ...good.with, seen: [failed()] } },
      missed: [/without an answer/, /busiest/],
    },
  ];
  test.each(cases)("$name", ({ facts, missed }) => {
    expect(missedIn(judgeAffinity({ ...good, ...facts }))).toEqual(missed.map((what) => expect.stringMatching(what)));
  });
});
