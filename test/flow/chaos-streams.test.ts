import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { BRIEF } from "#scripts/chaos/streams/scale.ts";
import { streams } from "#scripts/chaos/streams/streams.ts";
import { tableOf } from "#scripts/chaos/table.ts";
import { missed } from "./missed.ts";

const WITHIN_MS = 240_000;

const stateDir = mkdtempSync(join(tmpdir(), "causeway-chaos-"));
const givenUp = new AbortController();
afterEach(() => {
  givenUp.abort();
  rmSync(stateDir, { recursive: true, force: true });
});

test(
  "hosts that die on their answers, callers who leave or read slowly: no stream breaks unsaid",
  async ({ annotate }) => {
    const seed = Date.now() % 1_000_000;
    const only = BRIEF.rounds.flat();
    const reports = await streams({ scale: BRIEF, only, seed, stateDir, print: console.log, signal: givenUp.signal });
    await annotate(`seed ${seed}\n${tableOf(reports)}`);
    expect(reports.map(({ name }) => name)).toEqual(only);
    expect(missed(reports)).toEqual([]);
  },
  WITHIN_MS,
);
