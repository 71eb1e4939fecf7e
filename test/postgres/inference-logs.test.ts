import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import { inSession } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";

const NOW_MS = 1_790_000_009_000;

/** The ids that were new. */
async function insert(...events: InferenceEvent[]): Promise<unknown[]> {
  const [inserted] = await inSession(env.HYPERDRIVE.connectionString, (session) =>
    transact(session, "causeway_writer", [inferenceLogsInsert(events, NOW_MS)]),
  );
  return inserted?.rows.map(({ id }) => id) ?? [];
}

async function rowsOf(...ids: string[]): Promise<Record<string, unknown>[]> {
  const text = `
    SELECT *, host(ip_address) AS ip, (extract(epoch FROM "timestamp") * 1000)::bigint AS at_ms
    FROM inference_logs WHERE id = ANY ($1::uuid[])`;
  const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [ids]));
  return rows;
}

describe("a row is its event", () => {
  test.each<{ name: string; changed: Partial<InferenceEvent>; row: Record<string, unknown> }>([
    { name: "counts", changed: {}, row: { prompt_tokens: 11, completion_tokens: 7, tokens_used: "18", attempts: 1 } },
    { name: "time to the ms", changed: {}, row: { at_ms: "1790000000123", latency_ms: 420, ttft_ms: 42 } },
    { name: "names", changed: {}, row: { model: "llama-3.1-8b", user_id: "basic-user", tier: "basic", route: "chat" } },
    { name: "host", changed: {}, row: { host: "gpu", served_as: "meta-llama/Llama-3.1-8B-Instruct", cache: "miss" } },
    { name: "no content", changed: {}, row: { prompt: null, response: null } },
    {
      name: "content",
      changed: { content: { prompt: `[{"role":"user"}] '\n🚇`, response: "" } },
      row: { prompt: `[{"role":"user"}] '\n🚇`, response: "" },
    },
    {
      name: "whose it is",
      changed: { account: "key|ann", tenant: "org" },
      row: { account: "key|ann", tenant: "org" },
    },
    { name: "of no organisation", changed: {}, row: { tenant: null, trace_id: null } },
    {
      name: "what the host did",
      changed: { cachedTokens: 3, queueWaitMs: 5, hostMs: 7, traceId: "0af7651916cd43dd8448eb211c80319c" },
      row: { cached_tokens: 3, queue_wait_ms: 5, host_ms: 7, trace_id: "0af7651916cd43dd8448eb211c80319c" },
    },
    {
      name: "who admitted it, at which price",
      changed: { admittedBy: "local", placedBy: "local", priceVersion: "2" },
      row: { admitted_by: "local", placed_by: "local", price_version: "2" },
    },
    {
      name: "what is not known",
      changed: { cachedTokens: null, queueWaitMs: null, hostMs: null, priceVersion: null },
      row: { cached_tokens: null, queue_wait_ms: null, host_ms: null, price_version: null },
    },
    { name: "one micro-dollar", changed: { costMicros: 1 }, row: { cost_estimate: "0.000001" } },
    { name: "many dollars", changed: { costMicros: 12_345_678_901 }, row: { cost_estimate: "12345.678901" } },
    { name: "free is not unknown", changed: { costMicros: 0 }, row: { cost_estimate: "0.000000" } },
    { name: "unknown cost is null", changed: { costMicros: null }, row: { cost_estimate: null } },
    {
      name: "nulls",
      changed: { host: null, servedAs: null, ttftMs: null, finishReason: null, keyId: null, workflowId: null },
      row: { host: null, served_as: null, ttft_ms: null, finish_reason: null, key_id: null, workflow_id: null },
    },
    { name: "IPv4", changed: { ip: "203.0.113.7" }, row: { ip: "203.0.113.7" } },
    { name: "IPv6", changed: { ip: "2001:db8::7" }, row: { ip: "2001:db8::7" } },
    { name: "no address", changed: { ip: null }, row: { ip_address: null } },
    {
      name: "cached",
      changed: { outcome: "cached", cache: "hit", savedTokens: 99 },
      row: { cache: "hit", saved_tokens: 99 },
    },
    {
      name: "estimated",
      changed: { estimated: true, outcome: "abandoned" },
      row: { estimated: true, outcome: "abandoned" },
    },
    {
      name: "key and workflow",
      changed: { keyId: "key_1", workflowId: "n8n-7" },
      row: { key_id: "key_1", workflow_id: "n8n-7" },
    },
    {
      name: "Unicode and quotes, byte for byte",
      changed: { userId: `Zoë 🚇 \u202e'"\\;--\n\t` },
      row: { user_id: `Zoë 🚇 \u202e'"\\;--\n\t` },
    },
  ])("$name", async ({ changed, row }) => {
    const event = eventWith(changed);
    expect(await insert(event)).toEqual([event.id]);
    const [stored] = await rowsOf(event.id);
    expect(stored).toMatchObject({ ...row, id: event.id, request_id: event.id });
  });
});

test("the metadata says which version was recorded and when", async () => {
  const event = eventWith();
  await insert(event);
  const [stored] = await rowsOf(event.id);
  expect(stored?.metadata).toMatchObject({ v: 1, recorded_at: expect.stringMatching(/^2026-09-21T/) });
});

test("a row that is there stays as it is, and only new ids are returned", async () => {
  const [old, fresh] = [eventWith(), eventWith()];
  await insert(old);
  expect(await insert({ ...old, completionTokens: 999 }, fresh)).toEqual([fresh.id]);
  const rows = await rowsOf(old.id, fresh.id);
  expect(rows.map(({ completion_tokens }) => completion_tokens)).toEqual([7, 7]);
});

test("the same id twice in one statement makes one row", async () => {
  const event = eventWith();
  expect(await insert(event, { ...event, completionTokens: 999 })).toEqual([event.id]);
  expect(await rowsOf(event.id)).toHaveLength(1);
});

test("a full batch of 100 is one statement", async () => {
  const events = Array.from({ length: 100 }, () => eventWith());
  expect(await insert(...events)).toHaveLength(100);
});

describe("the minute's sums", () => {
  const sumsOf = async (account: string): Promise<Record<string, unknown>[]> =>
    (
      await inSession(env.HYPERDRIVE.connectionString, (session) =>
        session.query("SELECT * FROM usage_minute WHERE account = ledger_name($1) ORDER BY minute", [account]),
      )
    ).rows;

  test("names that there are none of are empty, not null", async () => {
    const account = crypto.randomUUID();
    await insert(eventWith({ account, host: null, keyId: null, tenant: null }));
    expect(await sumsOf(account)).toEqual([expect.objectContaining({ host: "", key_id: "", tenant: "" })]);
  });

  test("a minute ends before the next one begins", async () => {
    const [account, atMs] = [crypto.randomUUID(), Date.parse("2026-11-20T23:59:00Z")];
    await insert(...[0, 59_999, 60_000].map((more) => eventWith({ account, atMs: atMs + more })));
    expect((await sumsOf(account)).map(({ minute, requests }) => [minute, requests])).toEqual([
      [new Date(atMs), "2"],
      [new Date(atMs + 60_000), "1"],
    ]);
  });

  // Random, because what repeats is compressed and then fits.
  const LONG = Array.from({ length: 800 }, () =>
    String.fromCodePoint(0x4e00 + Math.floor(Math.random() * 20_000)),
  ).join("");
  test("no name is too long for them, and long ones are still told apart", async () => {
    const names = (mark: string): Partial<InferenceEvent> => ({
      ...{ model: `${LONG}${mark}`, host: LONG, keyId: LONG, tenant: LONG, account: `${LONG}${LONG}` },
    });
    const events = [eventWith(names("a")), eventWith(names("b")), eventWith(names("b"))];
    expect(await insert(...events)).toHaveLength(3);
    const sums = await sumsOf(`${LONG}${LONG}`);
    expect(sums.map(({ requests }) => requests).sort()).toEqual(["1", "2"]);
  });

  test("what changed is marked with the time of the change", async () => {
    const account = crypto.randomUUID();
    await insert(eventWith({ account }));
    const [before] = await sumsOf(account);
    await insert(eventWith({ account }));
    const [after] = await sumsOf(account);
    expect(Number(after?.changed_at)).toBeGreaterThan(Number(before?.changed_at));
  });
});
