import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fleet } from "#scripts/chaos/fleet.ts";
import type { Report } from "#scripts/chaos/play.ts";
import { BRIEF } from "#scripts/chaos/scale.ts";
import { BRIEF as STREAMS } from "#scripts/chaos/streams/scale.ts";
import { streams } from "#scripts/chaos/streams/streams.ts";
import { tableOf } from "#scripts/chaos/table.ts";

const WITHIN_MS = 240_000;

let stateDir: string;
let givenUp: AbortController;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "causeway-chaos-"));
  givenUp = new AbortController();
});
afterEach(() => {
  givenUp.abort();
  rmSync(stateDir, { recursive: true, force: true });
});

/** Findings that a busy machine does not decide: how fast it is, it does. */
function missed(reports: readonly Report[]): object[] {
  return reports
    .flatMap(({ name, played }) => played.findings.map((finding) => ({ name, ...finding })))
    .filter(({ holds, timed }) => holds === false && !timed);
}

test(
  "a host that is killed, three times the load, shares and warmth: the fleet holds what it promises",
  async ({ annotate }) => {
    const seed = Date.now() % 1_000_000;
    const only = BRIEF.rounds.flat();
    const reports = await fleet({ scale: BRIEF, only, seed, stateDir, print: console.log, signal: givenUp.signal });
    await annotate(`seed ${seed}\n${tableOf(reports)}`);
    expect(reports.map(({ name }) => name)).toEqual(only);
    expect(missed(reports)).toEqual([]);
  },
  WITHIN_MS,
);

test(
  "hosts that die on their answers, callers who leave or read slowly: no stream breaks unsaid",
  async ({ annotate }) => {
    const seed = Date.now() % 1_000_000;
    const only = STREAMS.rounds.flat();
    const reports = await streams({ scale: STREAMS, only, seed, stateDir, print: console.log, signal: givenUp.signal });
    await annotate(`seed ${seed}\n${tableOf(reports)}`);
    expect(reports.map(({ name }) => name)).toEqual(only);
    expect(missed(reports)).toEqual([]);
  },
  WITHIN_MS,
);
