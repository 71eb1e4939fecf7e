import { toFile } from "openai";
import pg from "pg";
import { expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { clientOf, truthsOf } from "./world.ts";

const MODEL = "mixtral-8x7b";
const ENDPOINT = "/v1/chat/completions";

async function rowsOfBatch(id: string): Promise<{ id: string; outcome: string; host: string | null }[]> {
  const database = new pg.Client({ connectionString: stack.database });
  await database.connect();
  try {
    return (await database.query("SELECT id, outcome, host FROM inference_logs WHERE workflow_id = $1", [id])).rows;
  } finally {
    await database.end();
  }
}

test("a batch from end to end: results by custom_id, a ledger row and a generation for every line that was asked", async () => {
  const client = clientOf("premium", 3);
  const ids = Array.from({ length: 8 }, (_, at) => `line-${at}`);
  const lines = ids.map((custom_id) => {
    const messages = [{ role: "user", content: `batch ${custom_id} ${crypto.randomUUID()} [[tokens=5]]` }];
    return { custom_id, method: "POST", url: ENDPOINT, body: { model: MODEL, messages } };
  });
  const bad = { custom_id: "bad", method: "POST", url: ENDPOINT, body: { model: MODEL, messages: [], max_tokens: 5 } };
  const text = [...lines, bad].map((line) => `${JSON.stringify(line)}\n`).join("");
  const input = await client.files.create({ file: await toFile(Buffer.from(text), "in.jsonl"), purpose: "batch" });
  const wish = { input_file_id: input.id, endpoint: ENDPOINT, completion_window: "24h" } as const;
  const made = await client.batches.create(wish);
  const batch = await eventually(
    async () => {
      const now = await client.batches.retrieve(made.id);
      return now.status === "completed" ? now : undefined;
    },
    "the batch is not completed",
    45_000,
  );
  expect(batch.request_counts).toEqual({ total: 9, completed: 8, failed: 1 });
  const read = async (id: string | undefined): Promise<{ custom_id: string; response: { request_id: string } }[]> => {
    const content = await (await client.files.content(id ?? "")).text();
    return content
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  };
  const good = await read(batch.output_file_id);
  expect(good.map(({ custom_id }) => custom_id).sort()).toEqual(ids);
  expect((await read(batch.error_file_id)).map(({ custom_id }) => custom_id)).toEqual(["bad"]);
  const requestIds = good.map(({ response }) => response.request_id).sort();
  const rows = await eventually(
    async () => {
      const found = await rowsOfBatch(made.id);
      return found.length >= ids.length ? found : undefined;
    },
    "the ledger has no rows for the batch",
    40_000,
  );
  expect(rows.map(({ id }) => id).sort()).toEqual(requestIds);
  expect(new Set(rows.map(({ outcome, host }) => `${outcome} ${host}`))).toEqual(new Set(["complete cpu-mixtral"]));
  const generated = (await truthsOf("cpu-mixtral")).map(({ requestId }) => requestId);
  for (const id of requestIds) expect(generated.filter((one) => one === id)).toHaveLength(1);
});
