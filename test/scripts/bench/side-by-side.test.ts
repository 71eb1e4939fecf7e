/** The comparison for real, in windows of a blink: figures come out, and nothing is left running; also when it is given up. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bare } from "#scripts/bench/contestants/bare.ts";
import { direct } from "#scripts/bench/contestants/direct.ts";
import { cpuPerEventUs, cpuPerRequestUs, roundsOf } from "#scripts/bench/figures.ts";
import { type Scenario, type ScenarioName, scenariosOf } from "#scripts/bench/scenarios.ts";
import { sideBySide } from "#scripts/bench/side-by-side.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "causeway-bench-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Streams too that end within the window, and begin again. */
function blinks(names: readonly ScenarioName[]): Scenario[] {
  return scenariosOf(names, true).map(({ load, ...scenario }) => {
    const answer = { ...load.answer, tokens: 5 };
    return { ...scenario, load: { ...load, answer, warmUpMs: 100, forMs: 300 } };
  });
}

function comparison(signal: AbortSignal, progress: (line: string) => void) {
  return {
    contestants: [direct, bare],
    scenarios: blinks(["json-64", "streams"]),
    rounds: 2,
    command: "npm run bench",
    folder: join(root, "ring"),
    kept: join(root, "kept"),
    print: () => {},
    progress,
    signal,
  };
}

/** Processes that we have started and that still run, by what they were started as. Linux. */
function children(): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const isOurs = Number(parent) === process.pid && state !== "Z";
      return isOurs ? [readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ")] : [];
    } catch {
      return [];
    }
  });
}

test("figures of both come out, by round, and nothing is left running", async () => {
  const before = children();
  const lines: string[] = [];
  const run = await sideBySide(comparison(new AbortController().signal, (line) => lines.push(line)));
  expect(run.measured).toHaveLength(2 * 2 * 2);
  expect(run.entrants.map(({ name }) => name)).toEqual(["direct", "bare workerd"]);
  for (const { seen, scenario, contestant } of run.measured) {
    expect({ scenario, contestant, failed: seen.failed, failure: seen.failure }).toMatchObject({ failed: 0 });
    expect(scenario === "streams" ? seen.events : seen.requests).toBeGreaterThan(0);
    expect(seen.latencyUs.p50).toBeGreaterThan(0);
  }
  expect(roundsOf(run.measured, "json-64", "bare workerd", cpuPerRequestUs).size).toBe(2);
  expect(roundsOf(run.measured, "streams", "bare workerd", cpuPerEventUs).size).toBe(2);
  // The engine's own time is not looked at.
  expect(roundsOf(run.measured, "json-64", "direct", cpuPerRequestUs).size).toBe(0);
  expect(run.machine).toMatchObject({ cores: expect.any(Number), node: process.versions.node });
  expect(lines.at(-1)).toMatch(/^streams {2}round 2 of 2 {2}direct {2}about \d+ s left$/);
  expect(children()).toEqual(before);
});

test("given up in the midst of a window: it ends, and nothing is left running", async () => {
  const before = children();
  const stop = new AbortController();
  const given = sideBySide(
    comparison(stop.signal, (line) => {
      if (!line.startsWith("json-64")) return;
      expect(children().length).toBe(before.length + 3);
      setTimeout(() => stop.abort(new Error("enough")), 50);
    }),
  );
  await expect(given).rejects.toThrow("enough");
  expect(children()).toEqual(before);
});
