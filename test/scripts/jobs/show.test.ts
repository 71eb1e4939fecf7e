import { describe, expect, it } from "vitest";
import { jobList, jobRun, jobTable, runText } from "#scripts/jobs/show.ts";

const lastRun = {
  ...{ period_start: "2026-11-21T08:00:00.000Z", period_end: "2026-11-21T09:00:00.000Z", state: "done", attempts: 1 },
  ...{ started_at: "2026-11-21T09:05:00.000Z", finished_at: "2026-11-21T09:05:01.250Z", result: {}, reason: null },
};

describe("the list", () => {
  it.each<{ name: string; last_run: object | null; shown: RegExp }>([
    { name: "never", last_run: null, shown: /^rollups +- +never ran +2026-11-21T10:05Z +sums$/m },
    { name: "done", last_run: lastRun, shown: /^rollups +2026-11-21T08:00Z +done in 1\.3 s +2026/m },
    { name: "failed", last_run: { ...lastRun, state: "failed", reason: "Error: no" }, shown: /failed: Error: no/ },
    {
      name: "running",
      last_run: { ...lastRun, state: "running", finished_at: null },
      shown: /running since 2026-11-21T09:05Z/,
    },
  ])("a job that ran: $name", ({ last_run, shown }) => {
    const job = { name: "rollups", does: "sums", every_s: 300, next_run_at: "2026-11-21T10:05:00.000Z", last_run };
    expect(jobTable(jobList.parse({ data: [job] }))).toMatch(shown);
  });
});

describe("a run", () => {
  const text = (name: string, result: object, report: object | null) =>
    runText(
      jobRun.parse({
        ...{ name, period_start: "2026-11-21T08:00:00.000Z", period_end: "2026-11-21T08:40:00.000Z" },
        ...{ attempt: 1, took_ms: 120, result, report },
      }),
    );

  it("has its figures below one another, and lists only with --json", () => {
    expect(text("rollups", { days: 2, as_of: "x", corrected: ["y"] }, null)).toBe(
      "rollups, 2026-11-21T08:00Z to 2026-11-21T08:40Z: done in 0.1 s\n\ndays   2\nas_of  x",
    );
  });

  it("has a table for each list of its report", () => {
    const hosts = [
      {
        host: "gpu",
        requests: 9,
        difference: { prompt_tokens: 0, completion_tokens: -3 },
        reason: null,
        look: { at_ms: 1 },
      },
      { host: "cpu", requests: null, difference: null, reason: "unreachable" },
    ];
    const lines = text("reconcile", {}, { hosts, accounts: [] }).split("\n");
    expect(lines.slice(2)).toEqual([
      "hosts",
      "host  requests  difference.prompt_tokens  difference.completion_tokens  reason",
      "gpu   9         0                         -3                            -",
      "cpu   -         -                         -                             unreachable",
    ]);
  });

  it("says what is unknown, and rounds what is long", () => {
    const models = [
      {
        model: "m",
        hosts: ["a", "b"],
        busy_slots: 1.23456,
        available_slots: null,
        exhausted_on: null,
        reason: "too_few_days",
      },
    ];
    expect(text("capacity", { first_exhausted_on: null }, { hosts: [], models })).toMatch(
      /^m +a,b +1\.23 +- +- +too_few_days$/m,
    );
  });

  it("of a job that this command does not know has its figures", () => {
    expect(text("newer", { a: 1 }, { list: [{ b: 2 }] })).toMatch(/^a +1$/m);
  });
});
