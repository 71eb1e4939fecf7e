import { createExecutionContext, runInDurableObject, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { v7 as uuidv7 } from "uuid";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { app } from "#src/app.ts";
import { issueApiKey } from "#src/auth/api-key.ts";
import type { Env } from "#src/env.ts";
import { inSession } from "#src/postgres/session.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";
import { type Asked, type Gateway, startGateway } from "#test/support/gateway.ts";
import { record } from "#test/support/usage.ts";

const HOUR_MS = 3_600_000;

const given = z.strictObject({
  id: z.uuidv7(),
  object: z.literal("feedback"),
  request_id: z.uuid(),
  satisfaction: z.number().nullable(),
  accuracy: z.number().nullable(),
  comment: z.string().nullable(),
});

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
});

const freshName = (): string => `user-${crypto.randomUUID()}`;
const accountOf = (sub: string): string => `${env.OIDC_ISSUER}|${sub}`;
const idOfAge = (ageMs: number): string => uuidv7({ msecs: Date.now() - ageMs });

/** A user, and a request of that user's that is in the ledger. */
async function asked(changed: Partial<InferenceEvent> = {}, ageMs = HOUR_MS): Promise<{ sub: string; id: string }> {
  const sub = freshName();
  const atMs = Date.now() - ageMs;
  const event = eventWith({ id: uuidv7({ msecs: atMs }), atMs, account: accountOf(sub), userId: sub, ...changed });
  await record(event);
  return { sub, id: event.id };
}

function give(sub: string, body: unknown, sender: Asked = { as: { sub } }): Promise<Response> {
  return gateway.ask("/v1/feedback", { ...sender, body });
}

async function rowsOf(text: string, id: string): Promise<Record<string, unknown>[]> {
  return (await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [id]))).rows;
}

describe("a caller's own request", () => {
  test("what was said is durable when the answer comes, and then beside the request", async () => {
    const { sub, id } = await asked({ model: "judged", workflowId: "flow-1" });
    const said = { satisfaction: 9, accuracy: 0.75, comment: "ñ 🚇 'quoted'; --" };
    const response = await give(sub, { request_id: id, ...said });
    expect(response.status).toBe(201);
    const answer = given.parse(await response.json());
    expect(answer).toMatchObject({ request_id: id, ...said });
    const kept = await runInDurableObject(env.ACCOUNT.getByName(accountOf(sub)), (_, { storage }) =>
      storage.sql.exec<{ event: string }>("SELECT event FROM outbox WHERE id = ?", answer.id).toArray(),
    );
    expect(kept.map(({ event }) => JSON.parse(event))).toEqual([
      expect.objectContaining({ kind: "feedback", requestId: id, account: accountOf(sub), userId: sub, ...said }),
    ]);
    const joined = await vi.waitFor(
      async () => {
        const rows = await rowsOf("SELECT * FROM inference_feedback WHERE request_id = $1", id);
        expect(rows).toHaveLength(1);
        return rows[0];
      },
      { timeout: 10_000, interval: 100 },
    );
    expect(joined).toMatchObject({ ...said, feedback_id: answer.id, account: accountOf(sub), model: "judged" });
  });

  test("of two words the newer counts", async () => {
    const { sub, id } = await asked();
    for (const satisfaction of [2, 8]) expect((await give(sub, { request_id: id, satisfaction })).status).toBe(201);
    await vi.waitFor(
      async () => {
        expect(await rowsOf("SELECT satisfaction FROM feedback WHERE request_id = $1", id)).toHaveLength(2);
      },
      { timeout: 10_000, interval: 100 },
    );
    const rows = await rowsOf("SELECT satisfaction FROM inference_feedback WHERE request_id = $1", id);
    expect(rows).toEqual([{ satisfaction: 8 }]);
  });

  test.each<{ name: string; said: Record<string, unknown> }>([
    { name: "satisfaction alone, the least", said: { satisfaction: 1 } },
    { name: "the most", said: { satisfaction: 10 } },
    { name: "accuracy alone, none", said: { accuracy: 0 } },
    { name: "full", said: { accuracy: 1 } },
    { name: "a comment alone, the longest there may be", said: { comment: "🚇".repeat(4_000) } },
    { name: "a comment of several lines", said: { comment: "one\ntwo\u2028three" } },
    { name: "null is not said", said: { satisfaction: null, accuracy: 0.5, comment: null } },
  ])("$name", async ({ said }) => {
    const { sub, id } = await asked();
    const response = await give(sub, { request_id: id.toUpperCase(), ...said });
    expect(response.status).toBe(201);
    expect(given.parse(await response.json())).toMatchObject({ request_id: id, ...said });
  });

  test("one that has only just reached the ledger, and one whose day is long past", async () => {
    for (const ageMs of [0, 80 * 24 * HOUR_MS]) {
      const { sub, id } = await asked({}, ageMs);
      expect((await give(sub, { request_id: id, satisfaction: 5 })).status).toBe(201);
    }
  });

  test("two keys of one owner are one caller", async () => {
    const owner = freshName();
    const { id } = await asked({ account: `key|${owner}`, userId: owner, keyId: "key_old" });
    expect((await give("", { request_id: id, satisfaction: 5 }, await keyOf(owner))).status).toBe(201);
  });
});

async function keyOf(owner: string): Promise<Asked> {
  const grant = {
    owner,
    tier: "default",
    scopes: ["inference" as const],
    label: "",
    expiresAtMs: Date.now() + HOUR_MS,
  };
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
  const { key, kvKey, record: keyRecord } = await issueApiKey(env.CAUSEWAY_SECRET, grant, random);
  await env.KV.put(kvKey, JSON.stringify(keyRecord));
  return { headers: { authorization: `Bearer ${key}` } };
}

/** All that an answer says but its own id. */
async function told(response: Response) {
  const { status, headers } = response;
  const retry = { after: headers.get("retry-after"), should: headers.get("x-should-retry") };
  return { status, retry, body: await response.text() };
}

describe("another's request looks like one that is not there", () => {
  const OLD = { after: null, should: null };
  const YOUNG = { after: "2", should: "true" };
  test.each<{ name: string; ageMs: number; retry: typeof OLD | typeof YOUNG }>([
    { name: "of an hour ago", ageMs: HOUR_MS, retry: OLD },
    { name: "of a minute ago", ageMs: 60_500, retry: OLD },
    { name: "young: it may still be on its way", ageMs: 1_000, retry: YOUNG },
    { name: "by a clock that is a little ahead", ageMs: -1_000, retry: YOUNG },
    { name: "of a time that has not come", ageMs: -HOUR_MS, retry: OLD },
  ])("$name", async ({ ageMs, retry }) => {
    const { id } = await asked({}, ageMs);
    const others = await told(await give(freshName(), { request_id: id, satisfaction: 1 }));
    const absent = await told(await give(freshName(), { request_id: idOfAge(ageMs), satisfaction: 1 }));
    expect(others).toEqual(absent);
    expect({ ...absent, body: JSON.parse(absent.body) }).toMatchObject({
      status: 404,
      retry,
      body: { error: { code: "request_not_found", param: "request_id" } },
    });
  });

  test.each<{ name: string; sender: (sub: string) => Asked | Promise<Asked> }>([
    { name: "an administrator", sender: () => ({ as: { groups: ["ai-admins"], sub: freshName() } }) },
    { name: "a key whose owner is called alike", sender: keyOf },
  ])("to $name too", async ({ sender }) => {
    const { sub, id } = await asked();
    const response = await give(sub, { request_id: id, satisfaction: 1 }, await sender(sub));
    expect(await response.json()).toMatchObject({ error: { code: "request_not_found" } });
  });

  test.each([
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "ffffffff-ffff-7fff-bfff-ffffffffffff",
    "00000000-0000-7000-8000-000000000000",
    "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
  ])("and so do ids that we never minted: %s", async (request_id) => {
    const { retry, status } = await told(await give(freshName(), { request_id, satisfaction: 1 }));
    expect({ status, retry }).toEqual({ status: 404, retry: OLD });
  });

  test("only the audit trail tells them apart", async () => {
    const { id } = await asked();
    const stranger = freshName();
    await give(stranger, { request_id: idOfAge(HOUR_MS), satisfaction: 1 });
    const response = await give(stranger, { request_id: id, satisfaction: 1 });
    const trail = "SELECT request_id, action, target, outcome FROM audit_log WHERE actor = $1";
    const rows = await vi.waitFor(
      async () => {
        const found = await rowsOf(trail, stranger);
        expect(found).not.toEqual([]);
        return found;
      },
      { timeout: 10_000, interval: 100 },
    );
    const request_id = response.headers.get("x-request-id");
    expect(rows).toEqual([{ request_id, action: "access.denied", target: "/v1/feedback", outcome: "denied" }]);
  });
});

describe("what is wrong is refused, with the field's name, before anything is looked up", () => {
  const id = idOfAge(HOUR_MS);
  test.each<{ name: string; body: unknown; code: string; param: string | null }>([
    { name: "nothing", body: "", code: "invalid_json", param: null },
    { name: "a list", body: "[]", code: "invalid_json", param: null },
    { name: "no id", body: { satisfaction: 1 }, code: "invalid_value", param: "request_id" },
    { name: "no uuid", body: { request_id: "1", satisfaction: 1 }, code: "invalid_value", param: "request_id" },
    {
      name: "an id with more",
      body: { request_id: `${id}'--`, satisfaction: 1 },
      code: "invalid_value",
      param: "request_id",
    },
    { name: "two ids", body: { request_id: [id, id], satisfaction: 1 }, code: "invalid_value", param: "request_id" },
    { name: "nothing said", body: { request_id: id }, code: "invalid_value", param: "satisfaction" },
    { name: "null said", body: { request_id: id, comment: null }, code: "invalid_value", param: "satisfaction" },
    { name: "0", body: { request_id: id, satisfaction: 0 }, code: "invalid_value", param: "satisfaction" },
    { name: "11", body: { request_id: id, satisfaction: 11 }, code: "invalid_value", param: "satisfaction" },
    { name: "9.5", body: { request_id: id, satisfaction: 9.5 }, code: "invalid_value", param: "satisfaction" },
    { name: "text", body: { request_id: id, satisfaction: "9" }, code: "invalid_value", param: "satisfaction" },
    { name: "less than none", body: { request_id: id, accuracy: -0.01 }, code: "invalid_value", param: "accuracy" },
    { name: "more than all", body: { request_id: id, accuracy: 1.01 }, code: "invalid_value", param: "accuracy" },
    { name: "percent", body: { request_id: id, accuracy: 90 }, code: "invalid_value", param: "accuracy" },
    { name: "an empty comment", body: { request_id: id, comment: "" }, code: "invalid_value", param: "comment" },
    {
      name: "a comment that is too long",
      body: { request_id: id, comment: "x".repeat(4_001) },
      code: "invalid_value",
      param: "comment",
    },
    { name: "NUL", body: { request_id: id, comment: "a\0b" }, code: "invalid_json", param: null },
    { name: "half a surrogate pair", body: { request_id: id, comment: "\ud83d" }, code: "invalid_json", param: null },
    {
      name: "an account",
      body: { request_id: id, satisfaction: 1, account: "x" },
      code: "invalid_value",
      param: "account",
    },
    {
      name: "a user",
      body: { request_id: id, satisfaction: 1, user_id: "x" },
      code: "invalid_value",
      param: "user_id",
    },
    { name: "__proto__", body: `{"request_id":"${id}","__proto__":{}}`, code: "invalid_json", param: null },
    { name: "twice", body: `{"request_id":"${id}","request_id":"${id}"}`, code: "invalid_json", param: null },
    {
      name: "too much",
      body: { request_id: id, comment: "x".repeat(70_000) },
      code: "request_too_large",
      param: null,
    },
  ])("$name", async ({ body, code, param }) => {
    const response = await askWith({ HYPERDRIVE: { connectionString: CLOSED_PORT } }, body);
    expect(await response.json()).toMatchObject({ error: { code, param } });
  });
});

test("nothing that a caller can write into a body is the gateway's failure", async () => {
  const sub = freshName();
  const hostile = fc.oneof(
    fc.jsonValue(),
    fc.uuid(),
    fc.uuid({ version: 7 }),
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.constantFrom("'; DROP TABLE feedback; --", "\0", "\ud800", "urn:uuid:", 1e308, -0, 2 ** 53, "1e5"),
  );
  const field = fc.constantFrom("request_id", "satisfaction", "accuracy", "comment", "nonsense", "__proto__");
  // One field is hostile and the rest is right, or what is wrong elsewhere would hide it.
  const likely = fc.tuple(field, hostile).map(([name, value]) => {
    return { request_id: idOfAge(HOUR_MS), satisfaction: 5, [name]: value };
  });
  const body = fc.oneof(
    fc.dictionary(field, hostile).map((document) => JSON.stringify(document)),
    likely.map((document) => JSON.stringify(document)),
    fc.string({ unit: "binary" }),
  );
  await fc.assert(
    fc.asyncProperty(body, async (text) => {
      const response = await give(sub, text);
      await response.arrayBuffer();
      expect([400, 404]).toContain(response.status);
    }),
    { numRuns: 150 },
  );
});

const CLOSED_PORT = "postgres://nobody:top-secret@127.0.0.1:1/none";

/** The same Worker with some bindings replaced. */
async function askWith(changed: Record<string, unknown>, body: unknown, sub = freshName()): Promise<Response> {
  const authorization = `Bearer ${await gateway.issuer.sign({ sub })}`;
  const headers = { authorization, "content-type": "application/json" };
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const context = createExecutionContext();
  const request = new Request("http://x/v1/feedback", { method: "POST", headers, body: text });
  const response = await app.fetch(request, { ...env, ...changed } as unknown as Env, context);
  await waitOnExecutionContext(context);
  return response;
}

describe("what is down is said, and when to come back", () => {
  test.each<{ name: string; changed: Record<string, unknown> }>([
    { name: "the database", changed: { HYPERDRIVE: { connectionString: CLOSED_PORT } } },
    {
      name: "the outbox",
      changed: {
        ACCOUNT: {
          idFromName: () => undefined,
          getByName: () => ({ settle: () => Promise.reject(new Error("top-secret")), isKeyRetired: () => false }),
        },
      },
    },
  ])("$name", async ({ changed }) => {
    const { sub, id } = await asked();
    const response = await askWith(changed, { request_id: id, satisfaction: 1 }, sub);
    expect(response.headers.has("retry-after")).toBe(true);
    const text = await response.text();
    expect({ status: response.status, ...JSON.parse(text) }).toMatchObject({
      status: 503,
      error: { code: "unavailable" },
    });
    expect(text).not.toMatch(/top-secret|127\.0\.0\.1/);
  });
});
