import { describe, expect, it } from "vitest";
import { LADDERS } from "#scripts/bench/ladder/ladders.ts";
import { readRecorded } from "#scripts/bench/ladder/recorded.ts";
import { RUNGS, type Rung, STREAM_RUNGS, WHOLE } from "#scripts/bench/ladder/rungs.ts";
import { sentenceOf, verdictOn } from "#scripts/bench/ladder/verdict.ts";

const THREE: readonly Rung[] = [
  { name: "parse", adds: "" },
  { name: "cache", adds: "", isBeside: true },
  { name: "admit", adds: "" },
  { name: WHOLE, adds: "" },
];
const THEN = { parse: 1.5, cache: 2, admit: 2, [WHOLE]: 3 };

function now(ratios: Partial<typeof THEN>, { noise = 0.1, waited = 0.1 } = {}) {
  const figures = Object.entries({ ...THEN, ...ratios }).map(([name, ratio]) => {
    return { name, ratio, addsUs: 0, least: ratio, most: ratio };
  });
  return { figures, noise, waited };
}

describe("compared with what was recorded", () => {
  it.each([
    { what: "the same", is: now({}), kind: "held" },
    { what: "a quarter more", is: now({ [WHOLE]: 3.75 }), kind: "held" },
    { what: "a quarter less", is: now({ [WHOLE]: 2.25 }), kind: "held" },
    { what: "more than a quarter more", is: now({ [WHOLE]: 3.76 }), kind: "grew" },
    { what: "more than a quarter less", is: now({ [WHOLE]: 2.24 }), kind: "fell" },
    { what: "a stage that grew by what another lost", is: now({ parse: 1.9 }), kind: "held" },
    { what: "growth beside the path", is: now({ cache: 9 }), kind: "held" },
    { what: "growth while bare workerd varied", is: now({ [WHOLE]: 5.6 }, { noise: 0.5 }), kind: "noisy" },
    { what: "more growth than bare workerd varied by", is: now({ [WHOLE]: 5.7 }, { noise: 0.5 }), kind: "grew" },
    { what: "the same while bare workerd varied", is: now({}, { noise: 0.26 }), kind: "noisy" },
    { what: "growth on a crowded machine", is: now({ [WHOLE]: 7.4 }, { waited: 1 }), kind: "noisy" },
    { what: "more growth than a crowd makes", is: now({ [WHOLE]: 7.6 }, { waited: 1 }), kind: "grew" },
    { what: "growth on a machine that is its own", is: now({ [WHOLE]: 3.9 }, { waited: 0.5 }), kind: "grew" },
    // A crowd makes everything dearer, so what has not grown in it has not grown.
    { what: "the same on a crowded machine", is: now({}, { waited: 2 }), kind: "held" },
  ])("$what: $kind", ({ is, kind }) => {
    expect(verdictOn(THREE, is, THEN).kind).toBe(kind);
  });

  it.each([
    { ratios: { parse: 2.5, admit: 3, [WHOLE]: 4 }, stage: { name: "parse", was: 0.5, is: 1.5 } },
    { ratios: { cache: 9, admit: 3, [WHOLE]: 4 }, stage: { name: "admit", was: 0.5, is: 1.5 } },
    { ratios: { [WHOLE]: 5 }, stage: { name: WHOLE, was: 1, is: 3 } },
  ])("names the stage that grew most: $stage.name", ({ ratios, stage }) => {
    expect(verdictOn(THREE, now(ratios), THEN)).toMatchObject({ kind: "grew", stage });
    expect(sentenceOf("request", verdictOn(THREE, now(ratios), THEN))).toContain(`in ${stage.name},`);
  });

  it("does not compare with a ladder of other rungs", () => {
    const { admit: _lacking, ...rest } = THEN;
    expect(() => verdictOn(THREE, now({ [WHOLE]: 9 }), rest)).toThrow("admit");
  });
});

describe("the rungs", () => {
  it("stand in the order of the request path, and end in the whole of it", () => {
    const path = ["hono", "conduct", "auth", "parse", "cache", "admit", "take", "ask", "settle"];
    expect(RUNGS.map(({ name }) => name)).toEqual(path);
    expect(STREAM_RUNGS.map(({ name }) => name)).toEqual(["hono", "parse", "relay", "tap", "settle"]);
  });

  it.each(LADDERS)("are those of the recorded ladder of $name", ({ name, rungs }) => {
    expect(Object.keys(readRecorded()[name].ratios)).toEqual(rungs.map((rung) => rung.name));
  });
});
