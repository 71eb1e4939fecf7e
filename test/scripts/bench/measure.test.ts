// Who is asked what and when, with a load that only takes notes.
import { describe, expect, test } from "vitest";
import { CROWDS } from "#scripts/bench/contestants/contestant.ts";
import type { Job } from "#scripts/bench/load/job.ts";
import { measure } from "#scripts/bench/measure.ts";
import type { Entrant } from "#scripts/bench/ring.ts";
import { type ScenarioName, scenariosOf } from "#scripts/bench/scenarios.ts";
import { progressLine, windowsOf } from "#scripts/bench/windows.ts";
import { seen } from "./seen.ts";

let made = 0;
const crowdOf = async (crowd: string) => [{ as: `${crowd} ${made++}` }];
const ENTRANTS: readonly Entrant[] = [
  { name: "direct", what: "", url: "http://127.0.0.1:1/direct", headers: {}, groups: [] },
  { name: "bare workerd", what: "", url: "http://127.0.0.1:1/bare", headers: { own: "1" }, groups: [7] },
  { name: "LiteLLM", absent: "no python" },
  {
    name: "Causeway",
    what: "",
    url: "http://127.0.0.1:1/causeway",
    headers: { own: "2" },
    callers: {
      one: () => crowdOf("one"),
      fifty: () => crowdOf("fifty"),
      "new tokens": () => crowdOf("new tokens"),
    },
    groups: [8, 9],
  },
];

/** Runs it to its end. @returns what the load was asked, without the first answers, and what was kept */
async function run(names: readonly ScenarioName[], rounds: number, lives = (_group: number | undefined) => true) {
  made = 0;
  const jobs: Job[] = [];
  const lines: string[] = [];
  const { measured, ended } = await measure(
    {
      entrants: ENTRANTS,
      load: async (job) => {
        jobs.push(job);
        return seen({ requests: jobs.length });
      },
    },
    {
      scenarios: scenariosOf(names, false),
      rounds,
      progress: (line) => lines.push(line),
      signal: new AbortController().signal,
      nowMs: () => 0,
      lives: ([group]) => lives(group),
    },
  );
  return { first: jobs.slice(0, 3), jobs: jobs.slice(3), measured, lines, ended };
}

test("in turns, and every second round backwards; who is absent is asked nothing", async () => {
  const { first, measured, jobs, lines } = await run(["json-1", "streams"], 3);
  const order = ["direct", "bare workerd", "Causeway"];
  expect(measured.map(({ scenario, round, contestant }) => `${scenario} ${round} ${contestant}`)).toEqual(
    ["json-1", "streams"].flatMap((scenario) =>
      [order, order.toReversed(), order].flatMap((names, round) => names.map((name) => `${scenario} ${round} ${name}`)),
    ),
  );
  // Everybody has answered before; those answers are no figures.
  expect(first.map(({ target }) => new URL(target.url).pathname)).toEqual(["/direct", "/bare", "/causeway"]);
  expect(measured.map((one) => one.seen.requests)).toEqual(jobs.map((_, at) => at + 4));
  expect(jobs[1]?.target).toEqual({ url: "http://127.0.0.1:1/bare", headers: [{ own: "1" }], groups: [7] });
  expect(lines.slice(0, 4)).toEqual([
    "first answers  direct",
    "first answers  bare workerd",
    "first answers  Causeway",
    "json-1  round 1 of 3  direct  about 81 s left",
  ]);
});

test("who ends on the way is asked nothing more, and its last window does not count", async () => {
  let left = 2;
  const { measured, jobs, ended } = await run(["json-1", "streams"], 2, (group) => group !== 7 || left-- > 0);
  const asked = (path: string) => jobs.filter(({ target }) => target.url.endsWith(path)).length;
  expect([asked("/bare"), asked("/causeway")]).toEqual([3, 4]);
  expect(measured.filter(({ contestant }) => contestant === "bare workerd")).toHaveLength(2);
  expect([...ended]).toEqual([["bare workerd", "streams, round 1"]]);
});

test("callers are the same over the run, but every token that is to be new is", async () => {
  const { jobs, measured } = await run(["json-64", "json-50-callers", "json-new-tokens"], 2);
  const of = (scenario: string) =>
    jobs
      .filter(({ target }, at) => target.url.endsWith("causeway") && measured[at]?.scenario === scenario)
      .map(({ target }) => target.headers);
  const as = (name: string) => [{ own: "2", as: name }];
  expect(of("json-64")).toEqual([as("one 0"), as("one 0")]);
  expect(of("json-50-callers")).toEqual([as("fifty 1"), as("fifty 1")]);
  expect(of("json-new-tokens")).toEqual([as("new tokens 2"), as("new tokens 3")]);
});

test.each(CROWDS)("by a crowd of %s those are measured who know one, and their measure", (crowd) => {
  const scenarios = scenariosOf(["json-64", "json-50-callers", "json-new-tokens"], false);
  const windows = windowsOf(
    scenarios.filter((scenario) => scenario.crowd === crowd),
    ENTRANTS,
    1,
  );
  expect(windows.map(({ entrant }) => entrant.name)).toEqual([
    ...(crowd === "one" ? ["direct"] : []),
    "bare workerd",
    "Causeway",
  ]);
});

describe("the time that is left", () => {
  const [window] = windowsOf(scenariosOf(["streams"], false), ENTRANTS, 1);
  test.each([
    {
      name: "as planned before the first window",
      done: { real: 0, planned: 0 },
      leftMs: 60_000,
      says: "about 60 s left",
    },
    {
      name: "longer when windows take longer",
      done: { real: 30_000, planned: 10_000 },
      leftMs: 60_000,
      says: "about 3 min left",
    },
  ])("$name", ({ done, leftMs, says }) => {
    if (window === undefined) throw new Error("there is no window");
    expect(progressLine(window, 5, done, leftMs)).toBe(`streams  round 1 of 5  direct  ${says}`);
  });
});

describe("given up", () => {
  test("in the midst of a window it ends at once, though the load does not", async () => {
    const stop = new AbortController();
    const given = measure(
      { entrants: ENTRANTS, load: () => new Promise(() => {}) },
      { scenarios: [], rounds: 1, progress: () => {}, signal: stop.signal, nowMs: () => 0, lives: () => true },
    );
    stop.abort(new Error("enough"));
    await expect(given).rejects.toThrow("enough");
  });

  test("before the first window nothing is asked", async () => {
    let asked = 0;
    const signal = AbortSignal.abort(new Error("enough"));
    const load = async () => {
      asked++;
      return seen();
    };
    const options = { scenarios: [], rounds: 1, progress: () => {}, signal, nowMs: () => 0, lives: () => true };
    await expect(measure({ entrants: ENTRANTS, load }, options)).rejects.toThrow("enough");
    expect(asked).toBe(0);
  });
});
