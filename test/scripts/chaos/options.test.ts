// The command line of `npm run chaos`.
import { describe, expect, test } from "vitest";
import { parseOptions } from "#scripts/chaos/options.ts";
import { SCENARIOS } from "#scripts/chaos/scenario.ts";
import { STREAM_SCENARIOS } from "#scripts/chaos/streams/scale.ts";

const ALL = { suite: "fleet", short: false, only: SCENARIOS, seed: null };
const STREAMS = { ...ALL, suite: "streams", only: STREAM_SCENARIOS };

test.each([
  { args: ["fleet"], options: ALL },
  { args: ["fleet", "--short"], options: { ...ALL, short: true } },
  { args: ["fleet", "--only", "flap"], options: { ...ALL, only: ["flap"] } },
  { args: ["--only", "shares, kill", "fleet"], options: { ...ALL, only: ["kill", "shares"] } },
  { args: ["fleet", "--seed", "7"], options: { ...ALL, seed: 7 } },
  { args: ["streams"], options: STREAMS },
  {
    args: ["streams", "--short", "--only", "held,deaths"],
    options: { ...STREAMS, short: true, only: ["deaths", "held"] },
  },
  { args: ["--help"], options: null },
])("$args", ({ args, options }) => {
  expect(parseOptions(args)).toEqual(options);
});

describe("what is refused, with exit code 2 and all flags", () => {
  test.each([
    { args: [], names: /Nothing was named/ },
    { args: ["postgres"], names: /not upon postgres/ },
    { args: ["fleet", "twice"], names: /not upon fleet twice/ },
    { args: ["fleet", "--long"], names: /--long/ },
    { args: ["fleet", "--only", "kill,storm"], names: /"storm"/ },
    { args: ["fleet", "--only", "deaths"], names: /"deaths"/ },
    { args: ["streams", "--only", "kill"], names: /"kill"/ },
    { args: ["streams", "fleet"], names: /not upon streams fleet/ },
    { args: ["fleet", "--only", ""], names: /""/ },
    { args: ["fleet", "--seed", "soon"], names: /--seed soon/ },
    { args: ["fleet", "--seed", " "], names: /--seed/ },
  ])("$args", ({ args, names }) => {
    expect(() => parseOptions(args)).toThrow(
      expect.objectContaining({ exitCode: 2, message: expect.stringMatching(names) }),
    );
  });
});
