import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { DAY_MS, dayOf, HOUR_MS, startOfDayMs } from "#src/jobs/calendar.ts";
import type { AccountTotals } from "#src/jobs/job.ts";
import { reconcile } from "#src/jobs/reconcile.ts";
import { runNow, type Surroundings } from "#src/jobs/run.ts";
import { insertApiKey } from "#src/postgres/api-keys.ts";
import { emptied, freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { eventWith } from "#test/support/events.ts";
import { enter, hostsOf, NOW_MS, surroundingsOn } from "#test/support/jobs.ts";

const TODAY_MS = startOfDayMs(NOW_MS);
const YESTERDAY = { startMs: TODAY_MS - DAY_MS, endMs: TODAY_MS };
const TODAY = { startMs: TODAY_MS, endMs: NOW_MS };

let database: TestDatabase;
let logged: string[] = [];
beforeAll(async () => {
  database = await freshDatabase();
});
beforeEach(async () => {
  await emptied(database);
  logged = [];
  vi.spyOn(console, "log").mockReturnValue();
  vi.spyOn(console, "error").mockImplementation((line: string) => {
    logged.push(line);
  });
});

async function reconciled(period = YESTERDAY, changed: Partial<Surroundings> = {}) {
  const ran = await runNow(reconcile, period, surroundingsOn(database, changed));
  if (ran.kind !== "done") throw new Error(JSON.stringify(ran));
  return { result: ran.result, report: ran.report as { accounts: unknown[]; hosts: Record<string, unknown>[] } };
}

describe("accounts", () => {
  const ANN = "https://issuer.test|ann";
  const yesterday = (account: string, promptTokens: number, completionTokens: number) =>
    eventWith({ atMs: TODAY_MS - HOUR_MS, account, promptTokens, completionTokens });
  const counted = (
    requests: number,
    promptTokens: number,
    completionTokens: number,
    day = dayOf(YESTERDAY.startMs),
  ) => ({
    [day]: { requests, promptTokens, completionTokens },
  });
  /** Each account's own count, and a note of who was asked. */
  function accounts(totals: Record<string, Record<string, AccountTotals>>) {
    const asked: string[] = [];
    const totalsOf: Surroundings["totalsOf"] = async (account) => {
      asked.push(account);
      return totals[account] ?? {};
    };
    return { asked, totalsOf };
  }

  test("that agree are counted and not listed", async () => {
    await enter(database, yesterday(ANN, 10, 5), yesterday(ANN, 1, 2), eventWith({ atMs: TODAY_MS, account: ANN }));
    const { totalsOf } = accounts({ [ANN]: counted(2, 11, 7) });
    const { result, report } = await reconciled(YESTERDAY, { totalsOf });
    expect(result).toMatchObject({
      ...{ day: dayOf(YESTERDAY.startMs), accounts_asked: 1, accounts_differing: 0 },
      ...{ accounts_unanswered: 0, accounts_left_out: 0 },
    });
    expect(report.accounts).toEqual([]);
    expect(logged).toEqual([]);
  });

  test.each([
    { name: "the ledger lost a request", own: counted(3, 15, 9), difference: [-1, -4, -2] },
    { name: "the ledger has one twice", own: counted(1, 10, 5), difference: [1, 1, 2] },
    { name: "tokens only", own: counted(2, 11, 8), difference: [0, 0, -1] },
    { name: "the account knows nothing of the day", own: counted(9, 9, 9, "2026-11-01"), difference: [2, 11, 7] },
  ])("that differ are listed and said: $name", async ({ own, difference }) => {
    await enter(database, yesterday(ANN, 10, 5), yesterday(ANN, 1, 2));
    const { result, report } = await reconciled(YESTERDAY, accounts({ [ANN]: own }));
    const [requests, prompt_tokens, completion_tokens] = difference;
    expect(report.accounts).toMatchObject([
      { account: ANN, difference: { requests, prompt_tokens, completion_tokens }, reason: null },
    ]);
    expect(result).toMatchObject({ accounts_differing: 1 });
    expect(logged.map((line) => JSON.parse(line))).toMatchObject([{ at: "jobs.reconcile", accounts_differing: 1 }]);
    // Whose they are is in the report alone.
    expect(logged.join()).not.toContain(ANN);
  });

  test("that do not answer are listed with the reason, and are no difference", async () => {
    await enter(database, yesterday(ANN, 10, 5));
    const { result, report } = await reconciled(YESTERDAY, { totalsOf: () => Promise.reject(new Error("reset")) });
    expect(report.accounts).toMatchObject([{ account: ANN, own: null, difference: null, reason: "Error: reset" }]);
    expect(result).toMatchObject({ accounts_differing: 0, accounts_unanswered: 1 });
  });

  test("are asked though the ledger has nothing of them: those of the week before, and owners of keys", async () => {
    const week = (days: number, account: string) => eventWith({ atMs: YESTERDAY.startMs - days * DAY_MS, account });
    await enter(database, week(6, "i|lost"), week(8, "i|long-gone"), week(1, `i|${"x".repeat(500)}`));
    const grant = { owner: "n8n", tier: "t", scopes: ["models"] as const, label: "l", createdBy: "ops" };
    const dates = { createdAt: new Date(TODAY_MS - DAY_MS), expiresAt: new Date(NOW_MS + DAY_MS) };
    await database.query((session) => insertApiKey(session, { ...grant, ...dates, id: "key_1", hash: "h" }, NOW_MS));
    const { asked, totalsOf } = accounts({ "i|lost": counted(1, 2, 3) });
    const { report } = await reconciled(YESTERDAY, { totalsOf });
    // One that differs is asked once more.
    expect(asked.sort()).toEqual(["i|lost", "i|lost", "key|n8n"]);
    expect(report.accounts).toMatchObject([{ account: "i|lost", difference: { requests: -1 } }]);
  });

  test("whose requests go on meanwhile do not differ, and what they lack all the same is found", async () => {
    await enter(database, yesterday("i|busy", 10, 10), yesterday("i|busy", 10, 10), yesterday("i|short", 10, 10));
    const answers: Record<string, ReturnType<typeof counted>[]> = {
      "i|busy": [counted(1, 10, 10), counted(3, 30, 30)],
      "i|short": [counted(2, 20, 20), counted(3, 30, 30)],
    };
    const totalsOf = async (account: string) => answers[account]?.shift() ?? {};
    const { report } = await reconciled(YESTERDAY, { totalsOf });
    expect(report.accounts).toMatchObject([
      { account: "i|short", difference: { requests: -1, prompt_tokens: -10, completion_tokens: -10 } },
    ]);
    expect(report.accounts).toHaveLength(1);
  });

  test("with names of any length are asked by their whole names", async () => {
    const long = `https://issuer.test|${"ü".repeat(300)}`;
    await enter(database, yesterday(long, 1, 1), yesterday("", 1, 1));
    const { asked, totalsOf } = accounts({});
    await reconciled(YESTERDAY, { totalsOf });
    expect(asked).toEqual([long]);
  });

  test("are too many: the rest is counted, and those of the day come first", async () => {
    await enter(
      database,
      ...Array.from({ length: 905 }, (_, at) => eventWith({ atMs: TODAY_MS - 2 * DAY_MS, account: `i|${at}` })),
      yesterday("i|day", 1, 1),
    );
    const { asked, totalsOf } = accounts({ "i|day": counted(1, 1, 1) });
    const { result } = await reconciled(YESTERDAY, { totalsOf });
    expect(result).toMatchObject({ accounts_asked: 900, accounts_left_out: 6, accounts_differing: 0 });
    expect(asked[0]).toBe("i|day");
  });
});

describe("engines", () => {
  const GPU = hostsOf({ id: "gpu", engine: "vllm" });
  const vllm = (prompt: number, completion: number, running = 0): string =>
    `vllm:prompt_tokens_total{engine="0"} ${prompt}\nvllm:generation_tokens_total{engine="0"} ${completion}\n` +
    `vllm:num_requests_running{engine="0"} ${running}\nvllm:num_requests_waiting{engine="0"} 0\n`;
  /** A look of its own moment at hosts that answer this. */
  const looking = (atMs: number, exposition: string | Error, hosts = GPU): Partial<Surroundings> => ({
    now: () => atMs,
    // Accounts that agree are no matter here.
    totalsOf: () => Promise.resolve({ [dayOf(TODAY_MS)]: { requests: 2, promptTokens: 200, completionTokens: 20 } }),
    hosts: () => Promise.resolve(hosts),
    expositionOf: () => (exposition instanceof Error ? Promise.reject(exposition) : Promise.resolve(exposition)),
  });
  const FIRST_MS = TODAY_MS + HOUR_MS;
  const SECOND_MS = FIRST_MS + DAY_MS;
  const NEXT_DAY = { startMs: TODAY_MS, endMs: TODAY_MS + DAY_MS };
  const ended = (atMs: number, latencyMs = 0, host = "gpu") =>
    eventWith({ atMs: atMs - latencyMs, latencyMs, host, promptTokens: 100, completionTokens: 10 });

  test("are looked at for the first time: nothing to compare, and it says so", async () => {
    const { result, report } = await reconciled(YESTERDAY, looking(FIRST_MS, vllm(5_000, 700, 2)));
    expect(report.hosts).toMatchObject([
      {
        ...{ host: "gpu", engine: "vllm", before: null, difference: null, reason: "first_look" },
        look: { at_ms: FIRST_MS, prompt_tokens: 5_000, completion_tokens: 700, in_flight: 2 },
      },
    ]);
    expect(result).toMatchObject({ hosts_compared: 0, hosts_differing: 0, hosts_unknown: 1 });
    expect(logged).toEqual([]);
  });

  test.each([
    { name: "agree", counted: [5_200, 720], difference: [0, 0] },
    { name: "counted more", counted: [5_300, 731], difference: [100, 11] },
    { name: "counted less", counted: [5_000, 720], difference: [-200, 0] },
  ])("$name, over requests that ended between the looks", async ({ counted, difference }) => {
    await reconciled(YESTERDAY, looking(FIRST_MS, vllm(5_000, 700)));
    await enter(
      database,
      // It arrived before the first look and ended after it; and one the other way round at the second.
      ended(FIRST_MS + 1_000, 60_000),
      ended(SECOND_MS - 1),
      ...[ended(FIRST_MS - 1, 60_000), ended(SECOND_MS + 1, 60_000), ended(SECOND_MS - 1, 0, "cpu")],
    );
    const [prompt = 0, completion = 0] = counted;
    const { result, report } = await reconciled(NEXT_DAY, looking(SECOND_MS, vllm(prompt, completion)));
    const [prompt_tokens, completion_tokens] = difference;
    expect(report.hosts).toMatchObject([
      {
        ...{ requests: 2, reason: null, difference: { prompt_tokens, completion_tokens } },
        ledger: { prompt_tokens: 200, completion_tokens: 20 },
        before: { at_ms: FIRST_MS },
        look: { at_ms: SECOND_MS },
      },
    ]);
    const differs = prompt_tokens !== 0 || completion_tokens !== 0;
    expect(result).toMatchObject({ hosts_compared: 1, hosts_differing: differs ? 1 : 0 });
    const hosts = [{ host: "gpu", prompt_tokens, completion_tokens }];
    expect(logged.map((line) => JSON.parse(line))).toMatchObject(differs ? [{ at: "jobs.reconcile", hosts }] : []);
  });

  test("began anew in between: it is said, and the next look has something to go by", async () => {
    await reconciled(YESTERDAY, looking(FIRST_MS, vllm(5_000, 700)));
    const { report } = await reconciled(NEXT_DAY, looking(SECOND_MS, vllm(30, 4)));
    expect(report.hosts).toMatchObject([{ difference: null, reason: "engine_restarted" }]);
    const third = { startMs: TODAY_MS + DAY_MS, endMs: TODAY_MS + 2 * DAY_MS };
    const later = await reconciled(third, looking(SECOND_MS + DAY_MS, vllm(31, 4)));
    expect(later.report.hosts).toMatchObject([{ difference: { prompt_tokens: 1, completion_tokens: 0 } }]);
  });

  test.each([
    { name: "cannot be reached", exposition: new Error("connection refused"), reason: "unreachable" },
    { name: "have no such counters", exposition: "# llama.cpp without --metrics", reason: "no_counters" },
  ])("$name: null with the reason, and the look before is kept for later", async ({ exposition, reason }) => {
    await reconciled(YESTERDAY, looking(FIRST_MS, vllm(5_000, 700)));
    const { result, report } = await reconciled(NEXT_DAY, looking(SECOND_MS, exposition));
    expect(report.hosts).toMatchObject([
      { look: { at_ms: FIRST_MS }, engine_counted: null, ledger: null, difference: null, reason },
    ]);
    expect(result).toMatchObject({ hosts_unknown: 1, hosts_differing: 0 });
    const third = { startMs: TODAY_MS + DAY_MS, endMs: TODAY_MS + 2 * DAY_MS };
    await enter(database, ended(FIRST_MS + 1), ended(SECOND_MS + 1));
    const later = await reconciled(third, looking(SECOND_MS + DAY_MS, vllm(5_200, 720)));
    expect(later.report.hosts).toMatchObject([{ requests: 2, difference: { prompt_tokens: 0, completion_tokens: 0 } }]);
  });

  test("of a day that was reconciled before it was over: the report then covers all of it", async () => {
    await reconciled(YESTERDAY, looking(FIRST_MS, vllm(0, 0)));
    await enter(database, ended(FIRST_MS + 1), ended(SECOND_MS - 1));
    await reconciled(TODAY, looking(FIRST_MS + 10, vllm(100, 10)));
    const { report } = await reconciled(NEXT_DAY, looking(SECOND_MS, vllm(200, 20)));
    expect(report.hosts).toMatchObject([
      { before: { at_ms: FIRST_MS }, requests: 2, difference: { prompt_tokens: 0, completion_tokens: 0 } },
    ]);
  });

  test("that are new or gone since the look before", async () => {
    const [gpu, cpu] = hostsOf({ id: "gpu", engine: "vllm" }, { id: "cpu", engine: "vllm" });
    if (gpu === undefined || cpu === undefined) throw new Error("no hosts");
    await reconciled(YESTERDAY, looking(FIRST_MS, vllm(0, 0), [gpu]));
    const { report } = await reconciled(NEXT_DAY, looking(SECOND_MS, vllm(0, 0), [cpu]));
    expect(report.hosts).toMatchObject([{ host: "cpu", reason: "first_look" }]);
  });

  test("are given time to hand in what they have just done", async () => {
    const waited: number[] = [];
    await reconciled(YESTERDAY, {
      ...looking(FIRST_MS, vllm(0, 0)),
      wait: async (ms) => {
        waited.push(ms);
      },
    });
    expect(waited).toEqual([5_000]);
  });
});
