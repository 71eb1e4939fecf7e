import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { SHORT } from "#scripts/storm/scale.ts";
import { storm } from "#scripts/storm/storm.ts";
import { tableOf } from "#scripts/storm/table.ts";

const WITHIN_MS = SHORT.sendOverMs + SHORT.quietWithinMs + 120_000;

const stateDir = mkdtempSync(join(tmpdir(), "causeway-storm-"));
const givenUp = new AbortController();
afterEach(() => {
  givenUp.abort();
  rmSync(stateDir, { recursive: true, force: true });
});

test(
  `${SHORT.requests} requests, ${SHORT.kills.count} kills, an outage, duplicates, poison: the ledger is right`,
  async ({ annotate }) => {
    const seed = Date.now() % 1_000_000;
    const { findings, answered, sky, mischief } = await storm({
      scale: SHORT,
      seed,
      stateDir,
      print: console.log,
      signal: givenUp.signal,
    });
    await annotate(`seed ${seed}\n${tableOf(findings, sky, mischief)}`);
    expect(findings.filter(({ holds }) => holds === false)).toEqual([]);
    expect(sky).toMatchObject({ kills: SHORT.kills.count, worker: "up", postgres: "up" });
    // That something happened at all: how much, a busy machine decides.
    expect(answered).toBeGreaterThan(SHORT.requests / 10);
    expect(mischief.duplicates).toBeGreaterThan(0);
    expect(sky.hostFaults).toBeGreaterThan(0);
  },
  WITHIN_MS,
);
