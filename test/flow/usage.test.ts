import { readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { expect, test } from "vitest";
import { z } from "zod";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { ask, clientOf, credentialOf, rowOf } from "./world.ts";

const MODEL = "hermes-2";

const sums = z.object({
  requests: z.number(),
  total_tokens: z.number(),
  prompt_tokens: z.number(),
  completion_tokens: z.number(),
  unpriced_requests: z.number(),
  cost_micros: z.number().nullable(),
});
const page = z.object({
  data: z.array(sums.extend({ model: z.string().optional(), key: z.string().nullish() })),
  totals: sums,
});

const client = clientOf("premium", 6);

/** What the caller has used of the model until now. */
async function used(): Promise<z.infer<typeof sums>> {
  const { data } = page.parse(await client.get("/usage", { query: { group_by: "model" } }));
  const nothing = { requests: 0, total_tokens: 0, prompt_tokens: 0, completion_tokens: 0, unpriced_requests: 0 };
  return data.find(({ model }) => model === MODEL) ?? { ...nothing, cost_micros: null };
}

async function asked(): Promise<string> {
  const messages = [{ role: "user" as const, content: `usage ${crypto.randomUUID()} [[tokens=5]]` }];
  const { response } = await client.chat.completions.create({ model: MODEL, messages }).withResponse();
  return response.headers.get("x-request-id") ?? "";
}

async function query(text: string, values: unknown[]): Promise<unknown[]> {
  const database = new pg.Client({ connectionString: stack.database });
  await database.connect();
  try {
    return (await database.query(text, values)).rows;
  } finally {
    await database.end();
  }
}

test("a question is in the caller's usage as soon as it is in the ledger", async () => {
  const before = await used();
  const row = await rowOf(await asked());
  const after = await used();
  expect(after.requests - before.requests).toBe(1);
  expect(after.prompt_tokens - before.prompt_tokens).toBe(row.prompt_tokens);
  expect(after.completion_tokens - before.completion_tokens).toBe(row.completion_tokens);
  expect(after.total_tokens - before.total_tokens).toBe(row.tokens_used);
  const isPriced = row.cost_estimate !== null;
  expect(after.unpriced_requests - before.unpriced_requests).toBe(isPriced ? 0 : 1);
  if (isPriced) {
    const costMicros = Math.round(Number(row.cost_estimate) * 1_000_000);
    expect((after.cost_micros ?? 0) - (before.cost_micros ?? 0)).toBe(costMicros);
  }
});

test("feedback that comes before the ledger has the request is taken when the SDK asks again", async () => {
  const id = await asked();
  const said = { satisfaction: 9, accuracy: 0.5, comment: "to the point" };
  const given = await client.post("/feedback", { body: { request_id: id, ...said } });
  expect(given).toMatchObject({ object: "feedback", request_id: id, ...said });
  const [joined] = await eventually(async () => {
    const rows = await query("SELECT * FROM inference_feedback WHERE request_id = $1", [id]);
    return rows.length > 0 ? rows : undefined;
  }, "the feedback is not beside its request");
  expect(joined).toMatchObject({ ...said, model: MODEL });

  const others = clientOf("basic").post("/feedback", { body: { request_id: id, satisfaction: 1 } });
  await expect(others).rejects.toMatchObject({ status: 404, code: "request_not_found" });
});

test("an administrator gets everybody's usage as CSV, with what the caller sees", async () => {
  const subject: unknown = JSON.parse(
    Buffer.from(credentialOf("premium").split(".")[1] ?? "", "base64url").toString(),
  ).sub;
  const search = new URLSearchParams({ user: String(subject), group_by: "model" });
  await rowOf(await asked());
  const response = await ask(`/admin/usage?${search}`, { as: "admin", headers: { accept: "text/csv" } });
  expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
  const [header = "", ...lines] = (await response.text()).trimEnd().split("\r\n");
  const line = lines.find((text) => text.startsWith(`${MODEL},`)) ?? "";
  const cells = Object.fromEntries(header.split(",").map((name, at) => [name, line.split(",")[at]]));
  const own = await used();
  expect(cells).toMatchObject({ requests: String(own.requests), total_tokens: String(own.total_tokens) });
});

test("an API key's usage is told by its key", async () => {
  const keys = clientOf("apiKey");
  const messages = [{ role: "user" as const, content: `usage ${crypto.randomUUID()} [[tokens=2]]` }];
  const { response } = await keys.chat.completions.create({ model: MODEL, messages }).withResponse();
  await rowOf(response.headers.get("x-request-id") ?? "");
  const { data } = page.parse(await keys.get("/usage", { query: { group_by: "key" } }));
  expect(data.map(({ key }) => key)).toEqual([expect.stringMatching(/^key_/)]);
});

test("with a database that accepts and never answers all three say 503", async () => {
  const id = await asked();
  await rowOf(id);
  const pid = Number(readFileSync(join(stack.stateDir, "postgres", "postmaster.pid"), "utf8").split("\n")[0]);
  const signal = () => AbortSignal.timeout(3_000);
  process.kill(pid, "SIGSTOP");
  try {
    const body = JSON.stringify({ request_id: id, satisfaction: 5 });
    const answers = await Promise.all([
      ask("/v1/usage", { as: "premium", signal: signal() }),
      ask("/v1/feedback", { as: "premium", method: "POST", body, signal: signal() }),
      ask("/admin/usage", { as: "admin", signal: signal() }),
    ]);
    expect(answers.map(({ status, headers }) => [status, headers.has("retry-after")])).toEqual(
      answers.map(() => [503, true]),
    );
  } finally {
    process.kill(pid, "SIGCONT");
  }
  expect((await used()).requests).toBeGreaterThan(0);
});
