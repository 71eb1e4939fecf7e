import { expect, test } from "vitest";
import { z } from "zod";
import { ask, rowOf } from "./world.ts";

const host = z.object({
  host: z.string(),
  requests: z.number().nullable(),
  difference: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullable(),
  reason: z.string().nullable(),
});
const reconciled = z.object({
  result: z.object({ accounts_asked: z.number(), accounts_differing: z.number(), accounts_unanswered: z.number() }),
  report: z.object({ accounts: z.array(z.unknown()), hosts: z.array(host) }),
});

async function runJob(path: string): Promise<unknown> {
  const response = await ask(`/admin/jobs/${path}`, { method: "POST", as: "admin" });
  const body = await response.json();
  expect({ status: response.status, body }).toMatchObject({ status: 200 });
  return body;
}

test("ledger, accounts and engines agree to the token", async () => {
  const yesterday = new Date(Date.now() - 86_400_000).toISOString();
  await runJob(`reconcile?period=${yesterday}`);
  const ids: string[] = [];
  for (const [as, stream] of [
    ["default", true],
    ["default", false],
    ["apiKey", true],
  ] as const) {
    const messages = [{ role: "user", content: `Reconcile ${crypto.randomUUID()}` }];
    const body = JSON.stringify({ model: "mixtral-8x7b", messages, stream, max_tokens: 12 });
    const response = await ask("/v1/chat/completions", { method: "POST", as, body });
    await response.text();
    ids.push(response.headers.get("x-request-id") ?? "");
  }
  for (const id of ids) await rowOf(id);
  const { result, report } = reconciled.parse(await runJob("reconcile"));
  expect(report.accounts).toEqual([]);
  expect(result).toMatchObject({ accounts_differing: 0, accounts_unanswered: 0 });
  expect(result.accounts_asked).toBeGreaterThanOrEqual(2);
  expect(report.hosts.find((seen) => seen.host === "cpu-mixtral")).toMatchObject({
    ...{ requests: 3, difference: { prompt_tokens: 0, completion_tokens: 0 }, reason: null },
  });
});

test("what came in is in the day's sums and the hour's report", async () => {
  const { result } = z.object({ result: z.object({ hours: z.number() }) }).parse(await runJob("rollups"));
  expect(result.hours).toBeGreaterThanOrEqual(1);
  const { report } = z
    .object({ report: z.object({ by_model: z.array(z.object({ model: z.string(), requests: z.number() })) }) })
    .parse(await runJob("business-report"));
  expect(report.by_model.map(({ model }) => model)).toContain("mixtral-8x7b");
});
