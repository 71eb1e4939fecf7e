// The command line of `npm run bench`, and the field of contestants that it names.
import { describe, expect, test } from "vitest";
import { contestantsOf } from "#scripts/bench/contestants/field.ts";
import { CONTESTANT_KEYS, CONTESTANTS } from "#scripts/bench/contestants/names.ts";
import { parseOptions, usage } from "#scripts/bench/options.ts";
import { QUICK, SCENARIO_NAMES, scenariosOf } from "#scripts/bench/scenarios.ts";

const FULL = { quick: false, scenarios: SCENARIO_NAMES, contestants: CONTESTANT_KEYS, rounds: 5, write: false };
const SHORT = {
  ...FULL,
  quick: true,
  scenarios: QUICK,
  contestants: ["direct", "nginx", "bare", "causeway", "portkey-workerd"],
  rounds: 3,
};

test.each([
  { args: [], options: FULL },
  { args: ["--quick"], options: SHORT },
  { args: ["--only", "streams, json-64"], options: { ...FULL, scenarios: ["json-64", "streams"] } },
  { args: ["--quick", "--only", "bursts"], options: { ...SHORT, scenarios: ["bursts"] } },
  // What the others are measured by is there whether it is named or not.
  { args: ["--contestants", "causeway"], options: { ...FULL, contestants: ["direct", "bare", "causeway"] } },
  {
    args: ["--contestants", "litellm,nginx,bare", "--quick"],
    options: { ...SHORT, contestants: ["direct", "nginx", "bare", "litellm"] },
  },
  { args: ["--rounds", "7", "--write"], options: { ...FULL, rounds: 7, write: true } },
  { args: ["--help"], options: null },
])("$args", ({ args, options }) => {
  expect(parseOptions(args)).toEqual(options);
});

describe("what is refused, with exit code 2", () => {
  test.each([
    { args: ["door"], names: /door/ },
    { args: ["auth", "twice"], names: /auth twice/ },
    { args: ["--fast"], names: /--fast/ },
    { args: ["--only", "json-64,json-65"], names: /"json-65"/ },
    { args: ["--only", ""], names: /""/ },
    { args: ["--contestants", "apache"], names: /"apache"/ },
    { args: ["--contestants", "toString"], names: /"toString"/ },
    { args: ["--rounds", "0"], names: /--rounds 0/ },
    { args: ["--rounds", "2.5"], names: /--rounds 2.5/ },
    { args: ["--rounds", " "], names: /--rounds/ },
  ])("$args", ({ args, names }) => {
    expect(() => parseOptions(args)).toThrow(
      expect.objectContaining({ exitCode: 2, message: expect.stringMatching(names) }),
    );
  });
});

test("the help names every scenario, every contestant and the other benches", () => {
  const help = usage({ door: { about: "what the door costs" } });
  for (const name of [...SCENARIO_NAMES, ...CONTESTANT_KEYS, "what the door costs"]) expect(help).toContain(name);
});

test("whom the command line names stands in tables by the name that figures are kept under", () => {
  const field = contestantsOf(CONTESTANT_KEYS, { PATH: "" });
  expect(field.map(({ name }) => name)).toEqual(Object.values(CONTESTANTS));
});

test("every scenario warms up for as long as it must, in a quick run too", () => {
  for (const quick of [false, true])
    for (const { load } of scenariosOf(SCENARIO_NAMES, quick)) expect(load.warmUpMs).toBeGreaterThanOrEqual(1_200);
});
