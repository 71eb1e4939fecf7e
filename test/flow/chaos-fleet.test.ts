import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { fleet } from "#scripts/chaos/fleet.ts";
import { BRIEF } from "#scripts/chaos/scale.ts";
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
