// Each goal: where its figure comes from, and what is said of it.
import { describe, expect, test } from "vitest";
import type { ContestantKey } from "#scripts/bench/contestants/names.ts";
import type { Measurement } from "#scripts/bench/figures.ts";
import { judged, type Verdict } from "#scripts/bench/goals.ts";
import type { Seen } from "#scripts/bench/load/job.ts";
import type { ScenarioName } from "#scripts/bench/scenarios.ts";
import { measured } from "./seen.ts";

/** Three rounds, alike. */
const three = (scenario: ScenarioName, key: ContestantKey, part: Partial<Seen>): Measurement[] =>
  measured(scenario, key, [part, part, part]);
const request = (us: number): Partial<Seen> => ({ requests: 100, cpuUs: us * 100 });
const event = (us: number): Partial<Seen> => ({ events: 1_000, cpuUs: us * 1_000 });
const first = (us: number): Partial<Seen> => ({ latencyUs: { p50: us, p99: null } });
const delay = (us: number): Partial<Seen> => ({ delayUs: { p50: us, p99: null } });

function verdictOn(what: RegExp, all: readonly Measurement[]): { found: number | null; verdict: Verdict } {
  const [one, ...more] = judged(all).filter((goal) => what.test(goal.what));
  if (one === undefined || more.length > 0) throw new Error(`${what} does not name one goal`);
  return { found: one.found?.median ?? null, verdict: one.verdict };
}

type Row = { what: RegExp; all: Measurement[]; found: number; verdict: Verdict };
test.each<Row>([
  ...[
    { own: 260, found: 2.6, verdict: "aim met" as const },
    { own: 350, found: 3.5, verdict: "met" as const },
    { own: 351, found: 3.51, verdict: "MISSED" as const },
  ].map(({ own, found, verdict }) => ({
    what: /everything on, 1 caller/,
    all: [...three("json-64", "bare", request(100)), ...three("json-64", "causeway", request(own))],
    found,
    verdict,
  })),
  {
    what: /50 callers/,
    all: [...three("json-50-callers", "bare", request(100)), ...three("json-50-callers", "causeway", request(400))],
    found: 4,
    verdict: "met",
  },
  {
    what: /new tokens/,
    all: [
      ...three("json-64", "bare", request(100)),
      ...three("json-64", "causeway", request(200)),
      // Slower times for both: what counts is each by its own rounds.
      ...three("json-new-tokens", "bare", request(200)),
      ...three("json-new-tokens", "causeway", request(500)),
    ],
    found: 0.5,
    verdict: "MISSED",
  },
  {
    what: /request against Portkey on Node/,
    all: [
      ...three("json-64", "bare", request(100)),
      ...three("json-64", "causeway", request(200)),
      ...three("json-64", "portkey", request(400)),
      ...three("json-64", "portkey-workerd", request(100)),
    ],
    found: 0.5,
    verdict: "aim met",
  },
  {
    what: /request against Portkey on workerd/,
    all: [
      ...three("json-64", "bare", request(100)),
      ...three("json-64", "causeway", request(200)),
      ...three("json-64", "portkey", request(400)),
      ...three("json-64", "portkey-workerd", request(100)),
    ],
    found: 2,
    verdict: "MISSED",
  },
  {
    what: /CPU per event of a stream/,
    all: [...three("streams", "bare", event(25)), ...three("streams", "causeway", event(60))],
    found: 2.4,
    verdict: "met",
  },
  {
    what: /event against Portkey on workerd/,
    all: [
      ...three("streams", "bare", event(25)),
      ...three("streams", "causeway", event(50)),
      ...three("streams", "portkey-workerd", event(100)),
    ],
    found: 0.5,
    verdict: "aim met",
  },
  {
    what: /first token over B/,
    all: [...three("first-token", "bare", first(900)), ...three("first-token", "causeway", first(1_500))],
    found: 0.6,
    verdict: "met",
  },
  {
    what: /after 20 ms/,
    all: [...three("first-token-20ms", "bare", first(21_000)), ...three("first-token-20ms", "causeway", first(26_000))],
    found: 5,
    verdict: "MISSED",
  },
  {
    what: /delay of an event/,
    all: [...three("streams", "bare", delay(100)), ...three("streams", "causeway", delay(120))],
    found: 1.2,
    verdict: "aim met",
  },
  {
    what: /that a core carries/,
    // The dearer one counts: 1e6 µs of a core / (20 tokens/s x 100 µs).
    all: [
      ...three("slow-500", "bare", event(20)),
      ...three("slow-500", "causeway", event(100)),
      ...three("slow-1000", "bare", event(20)),
      ...three("slow-1000", "causeway", event(50)),
    ],
    found: 500,
    verdict: "MISSED",
  },
  {
    what: /memory per stream/,
    all: three("slow-1000", "causeway", { bytes: 300e6, bytesBefore: 100e6 }),
    found: 200,
    verdict: "met",
  },
  { what: /that failed/, all: three("json-1", "causeway", { failed: 0 }), found: 0, verdict: "aim met" },
  { what: /that failed/, all: three("json-1", "causeway", { failed: 1, failure: "502" }), found: 3, verdict: "MISSED" },
  { what: /that failed/, all: three("json-1", "causeway", { requests: 0 }), found: 3, verdict: "MISSED" },
  { what: /that failed/, all: three("json-1", "bare", { failed: 9 }), found: Number.NaN, verdict: "not measured" },
])("$what: $found, $verdict", ({ what, all, found, verdict }) => {
  const judgement = verdictOn(what, all);
  expect(judgement.verdict).toBe(verdict);
  if (Number.isNaN(found)) expect(judgement.found).toBeNull();
  else expect(judgement.found).toBeCloseTo(found, 9);
});

describe("no verdict", () => {
  const causeway = three("json-64", "causeway", request(200));
  test.each<{ name: string; all: Measurement[]; verdict: Verdict }>([
    { name: "when nothing was measured", all: [], verdict: "not measured" },
    { name: "without bare workerd", all: causeway, verdict: "not measured" },
    {
      name: "when bare workerd itself varies too much",
      all: [...measured("json-64", "bare", [request(100), request(130), request(100)]), ...causeway],
      verdict: "too noisy",
    },
    {
      name: "of two rounds",
      all: [...measured("json-64", "bare", [request(100), request(100)]), ...causeway],
      verdict: "too few rounds",
    },
  ])("$name", ({ all, verdict }) => {
    expect(verdictOn(/everything on, 1 caller/, all).verdict).toBe(verdict);
  });

  test("times that vary leave CPU's verdict as it is", () => {
    const streams = (p50: number): Partial<Seen> => ({ ...event(25), ...delay(p50) });
    const all = [
      ...measured("streams", "bare", [streams(100), streams(200), streams(100)]),
      ...three("streams", "causeway", { ...event(30), ...delay(150) }),
    ];
    expect(verdictOn(/delay of an event/, all).verdict).toBe("too noisy");
    expect(verdictOn(/CPU per event of a stream/, all).verdict).toBe("aim met");
  });
});
