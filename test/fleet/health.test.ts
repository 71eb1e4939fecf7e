import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type HostHealth,
  type HostState,
  mayServe,
  NEVER_PROBED,
  observe,
  type ProbeResult,
} from "#src/fleet/health.ts";

const RESULTS: Record<string, ProbeResult> = { h: "healthy", l: "loading", f: "failed" };

/** The state after each of these probes, one letter a probe. */
function states(probes: string): HostState[] {
  let health: HostHealth = NEVER_PROBED;
  return [...probes].map((letter) => {
    health = observe(health, RESULTS[letter] ?? "failed");
    return health.state;
  });
}

describe("what probes make of a host", () => {
  test.each([
    { name: "the first good answer", probes: "h", state: "up" },
    { name: "one failure", probes: "hf", state: "up" },
    { name: "two failures", probes: "hff", state: "up" },
    { name: "three failures", probes: "hfff", state: "down" },
    { name: "failures that are not in a row", probes: "hffhffhff", state: "up" },
    { name: "many failures", probes: "hffffffff", state: "down" },
    { name: "one success after them", probes: "hfffh", state: "down" },
    { name: "two successes after them", probes: "hfffhh", state: "up" },
    { name: "successes that are not in a row", probes: "hfffhfhfh", state: "down" },
    { name: "back, then one failure", probes: "hfffhhf", state: "up" },
    { name: "never seen, one failure", probes: "f", state: "unknown" },
    { name: "never seen, three failures", probes: "fff", state: "down" },
    { name: "loading", probes: "l", state: "loading" },
    { name: "loading after a good time", probes: "hhhl", state: "loading" },
    { name: "loading for long", probes: "llllllll", state: "loading" },
    { name: "loaded", probes: "llh", state: "up" },
    { name: "loading, then silent", probes: "lff", state: "loading" },
    { name: "loading, then dead", probes: "lfff", state: "down" },
    { name: "restarted and loading", probes: "hfffl", state: "loading" },
    { name: "restarted, loaded", probes: "hffflh", state: "up" },
    { name: "loading breaks the row of failures", probes: "hfflf", state: "loading" },
  ])("$name: $probes is $state", ({ probes, state }) => {
    expect(states(probes).at(-1)).toBe(state);
  });

  test.each<[HostState, boolean]>([
    ["up", true],
    ["unknown", true],
    ["loading", false],
    ["down", false],
  ])("%s may serve: %s", (state, may) => {
    expect(mayServe(state)).toBe(may);
  });
});

test("against the rule read anew over the whole history", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom("h", "l", "f"), minLength: 1, maxLength: 30 }), (probes) => {
      for (const [at, state] of states(probes).entries()) {
        const history = probes.slice(0, at + 1);
        if (history.endsWith("l")) expect(state).toBe("loading");
        if (history.endsWith("fff")) expect(state).toBe("down");
        if (history.endsWith("hh")) expect(state).toBe("up");
        // Nothing but three failures in a row takes a host out, and nothing after them but loading or two good answers brings it back.
        const [, since] = /.*fff(.*)/.exec(history) ?? [];
        if (state === "down") expect(since).toBeDefined();
        if (since !== undefined && !/l|hh/.test(since)) expect(state).toBe("down");
      }
    }),
    { numRuns: 2_000 },
  );
});
