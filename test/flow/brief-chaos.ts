/** The brief cut of a chaos suite as a test: everything it must find holds, but for what a busy machine decides. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Report } from "#scripts/chaos/play.ts";
import { tableOf } from "#scripts/chaos/table.ts";

const WITHIN_MS = 240_000;

type Surroundings = {
  readonly seed: number;
  readonly stateDir: string;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
};

/** @param names of the scenarios that are to be played, in their order */
export function briefly(
  what: string,
  names: readonly string[],
  play: (surroundings: Surroundings) => Promise<readonly Report[]>,
): void {
  const stateDir = mkdtempSync(join(tmpdir(), "causeway-chaos-"));
  const givenUp = new AbortController();
  afterEach(() => {
    givenUp.abort();
    rmSync(stateDir, { recursive: true, force: true });
  });

  test(
    what,
    async ({ annotate }) => {
      const seed = Date.now() % 1_000_000;
      const reports = await play({ seed, stateDir, print: console.log, signal: givenUp.signal });
      await annotate(`seed ${seed}\n${tableOf(reports)}`);
      expect(reports.map(({ name }) => name)).toEqual(names);
      expect(missed(reports)).toEqual([]);
    },
    WITHIN_MS,
  );
}

/** Findings that do not hold, but for those that a busy machine decides: how fast it is. */
function missed(reports: readonly Report[]): object[] {
  return reports
    .flatMap(({ name, played }) => played.findings.map((finding) => ({ name, ...finding })))
    .filter(({ holds, timed }) => holds === false && !timed);
}
