import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { app } from "#src/app.ts";
import { issueApiKey } from "#src/auth/api-key.ts";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import type { Env } from "#src/env.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";
import { type Asked, CATALOG, type Gateway, startGateway } from "#test/support/gateway.ts";
import { testIssuer } from "#test/support/issuer.ts";
import { dayOf, grouped, record, rollUp, summed } from "#test/support/usage.ts";

const DAY_MS = 86_400_000;
/** The Worker's clock stands here, so that no midnight passes while these tests run. */
const NOW_MS = Date.parse("2026-11-21T12:00:00.500Z");
const OWN_GROUPS = ["day", "model", "key"];

const sums = {
  requests: z.number(),
  errors: z.number(),
  cached_requests: z.number(),
  estimated_requests: z.number(),
  unpriced_requests: z.number(),
  prompt_tokens: z.number(),
  completion_tokens: z.number(),
  cached_tokens: z.number(),
  saved_tokens: z.number(),
  total_tokens: z.number(),
  cost_micros: z.number().nullable(),
};
const label = z.string().min(1).nullable();
const page = z.strictObject({
  object: z.literal("list"),
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  group_by: z.array(z.string()),
  data: z.array(
    z.strictObject({ day: z.iso.date().optional(), model: label.optional(), key: label.optional(), ...sums }),
  ),
  totals: z.strictObject(sums),
  next: z.string().nullable(),
});

let gateway: Gateway;
beforeAll(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOW_MS });
  gateway = await startGateway();
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const freshName = (): string => `user-${crypto.randomUUID()}`;
const accountOf = (sub: string): string => `${env.OIDC_ISSUER}|${sub}`;

/** Requests of a user of the first issuer. */
function requestsOf(sub: string, ...changes: Partial<InferenceEvent>[]): InferenceEvent[] {
  return changes.map((changed) => eventWith({ account: accountOf(sub), userId: sub, atMs: NOW_MS, ...changed }));
}

async function usageOf(asked: Asked, query: Record<string, string> = {}) {
  const response = await gateway.ask(`/v1/usage?${new URLSearchParams(query)}`, asked);
  const body: unknown = await response.json();
  expect({ status: response.status, body }).toMatchObject({ status: 200 });
  return page.parse(body);
}

const asText = (rows: readonly unknown[]): string[] =>
  rows.map((row) => JSON.stringify(Object.entries(row as object).sort())).sort();

describe("who has used nothing", () => {
  test("has an empty list, zeros, and no cost at all", async () => {
    const { data, totals, next } = await usageOf({ as: { sub: freshName() } });
    expect({ data, totals, next }).toEqual({ data: [], totals: summed([]), next: null });
  });

  test("the last thirty days, by day, model and key, unless asked otherwise", async () => {
    const { from, to, group_by } = await usageOf({ as: { sub: freshName() } });
    expect({ from, to, group_by }).toEqual({
      from: `${dayOf(NOW_MS - 29 * DAY_MS)}T00:00:00.000Z`,
      to: `${dayOf(NOW_MS + DAY_MS)}T00:00:00.000Z`,
      group_by: OWN_GROUPS,
    });
  });
});

describe("what stands in a row", () => {
  test.each<{ name: string; events: Partial<InferenceEvent>[]; row: Record<string, unknown> }>([
    { name: "names that there are none of are null", events: [{ keyId: null }], row: { key: null } },
    {
      name: "a cost that nobody knows is null",
      events: [{ costMicros: null }],
      row: { cost_micros: null, unpriced_requests: 1 },
    },
    { name: "free is 0", events: [{ costMicros: 0 }], row: { cost_micros: 0, unpriced_requests: 0 } },
    {
      name: "some of the cost is known",
      events: [{ costMicros: 5 }, { costMicros: null }, { costMicros: 7 }],
      row: { cost_micros: 12, unpriced_requests: 1, requests: 3 },
    },
    {
      name: "what failed",
      events: [{ outcome: "upstream_error" }, { outcome: "abandoned", estimated: true }, { outcome: "client_left" }],
      row: { errors: 2, estimated_requests: 1, requests: 3 },
    },
    {
      name: "what came from the cache",
      events: [{ outcome: "cached", cache: "hit", promptTokens: 0, completionTokens: 0, savedTokens: 40 }],
      row: { cached_requests: 1, saved_tokens: 40, total_tokens: 0 },
    },
    {
      name: "tokens",
      events: [
        { promptTokens: 100, completionTokens: 20, cachedTokens: 64 },
        { promptTokens: 1, completionTokens: 2 },
      ],
      row: { prompt_tokens: 101, completion_tokens: 22, total_tokens: 123, cached_tokens: 64 },
    },
    {
      name: "more than 32 bits hold",
      events: [{ promptTokens: 2 ** 31 - 1 }, { promptTokens: 2 ** 31 - 1 }],
      row: { prompt_tokens: 2 ** 32 - 2 },
    },
    { name: "names as they are", events: [{ model: `o'r"g/ñ 🚇 %_\\` }], row: { model: `o'r"g/ñ 🚇 %_\\` } },
  ])("$name", async ({ events, row }) => {
    const sub = freshName();
    const requests = requestsOf(sub, ...events);
    await record(...requests);
    const { data, totals } = await usageOf({ as: { sub } });
    expect(data).toEqual(grouped(requests, OWN_GROUPS));
    expect(data).toEqual([expect.objectContaining(row)]);
    expect(totals).toEqual(summed(requests));
  });
});

describe("as fresh as the ledger", () => {
  test.each<{ name: string; daysAgo: number }>([
    { name: "today", daysAgo: 0 },
    { name: "yesterday", daysAgo: 1 },
  ])("$name, before any job has run", async ({ daysAgo }) => {
    const sub = freshName();
    const [event] = requestsOf(sub, { atMs: NOW_MS - daysAgo * DAY_MS });
    if (event === undefined) throw new Error("no event");
    for (const requests of [1, 2]) {
      await record({ ...event, id: crypto.randomUUID() });
      expect((await usageOf({ as: { sub } })).totals.requests).toBe(requests);
    }
  });

  test("what the job has made of today and yesterday already is not counted twice", async () => {
    const sub = freshName();
    const requests = requestsOf(sub, {}, { atMs: NOW_MS - DAY_MS }, { atMs: NOW_MS - 2 * DAY_MS });
    await record(...requests);
    await rollUp(...requests);
    expect((await usageOf({ as: { sub } })).totals).toEqual(summed(requests));
  });

  test("older days come from the job's own table", async () => {
    const sub = freshName();
    const requests = requestsOf(sub, { atMs: NOW_MS - 2 * DAY_MS }, { atMs: NOW_MS - 20 * DAY_MS });
    await record(...requests);
    expect((await usageOf({ as: { sub } })).data).toEqual([]);
    await rollUp(...requests);
    expect(asText((await usageOf({ as: { sub } })).data)).toEqual(asText(grouped(requests, OWN_GROUPS)));
  });
});

describe("the range asked for", () => {
  const day = dayOf(NOW_MS - 5 * DAY_MS);
  const next = dayOf(NOW_MS - 4 * DAY_MS);
  const at = (text: string): number => Date.parse(text);
  test.each<{ name: string; query: Record<string, string>; hours: number[]; from: string; to: string }>([
    { name: "a day", query: { from: day, to: next }, hours: [0, 6, 23], from: `${day}T00:00`, to: `${next}T00:00` },
    {
      name: "hours of an old day",
      query: { from: `${day}T06:00:00Z`, to: `${day}T23:00:00Z` },
      hours: [6],
      from: `${day}T06:00`,
      to: `${day}T23:00`,
    },
    {
      name: "in another zone",
      query: { from: `${day}T08:00:00+02:00`, to: `${next}T01:00:00+01:00` },
      hours: [6, 23],
      from: `${day}T06:00`,
      to: `${next}T00:00`,
    },
    {
      name: "seconds are widened to whole minutes",
      query: { from: `${day}T06:00:59.999Z`, to: `${day}T23:00:00.001Z` },
      hours: [6, 23],
      from: `${day}T06:00`,
      to: `${day}T23:01`,
    },
    {
      name: "an end alone: the thirty days before it",
      query: { to: next },
      hours: [0, 6, 23],
      from: `${dayOf(at(next) - 30 * DAY_MS)}T00:00`,
      to: `${next}T00:00`,
    },
  ])("$name", async ({ query, hours, from, to }) => {
    const sub = freshName();
    const requests = requestsOf(
      sub,
      ...[0, 6, 23].map((hour) => ({ atMs: at(day) + hour * 3_600_000, promptTokens: hour })),
    );
    await record(...requests);
    await rollUp(...requests);
    const found = await usageOf({ as: { sub } }, query);
    expect(found.totals).toEqual(summed(requests.filter(({ promptTokens }) => hours.includes(promptTokens))));
    expect([found.from, found.to]).toEqual([`${from}:00.000Z`, `${to}:00.000Z`]);
  });
});

test("pages go on where the one before ended, whatever names they end at, and each has the whole's totals", async () => {
  const sub = freshName();
  const names = ["a", "A", "ä", "🚇", "a'b", 'a"b', "a,b", "é", "z\\", "%", "\u202e"];
  const requests = requestsOf(
    sub,
    ...names.flatMap((model) => [
      { model, keyId: null },
      { model, keyId: "key_1" },
    ]),
  );
  await record(...requests);
  const whole = await usageOf({ as: { sub } });
  expect(asText(whole.data)).toEqual(asText(grouped(requests, OWN_GROUPS)));
  for (const group_by of ["day,model,key", "key,model", "model"]) {
    const { data: rows } = await usageOf({ as: { sub } }, { group_by });
    const pages: unknown[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const found = await usageOf({ as: { sub } }, { group_by, limit: "3", ...(cursor === "" ? {} : { cursor }) });
      expect(found.totals).toEqual(summed(requests));
      expect(found.data).toHaveLength(found.next === null ? ((rows.length - 1) % 3) + 1 : 3);
      pages.push(...found.data);
      cursor = found.next;
    }
    expect(pages).toEqual(rows);
  }
});

describe("only the caller's own", () => {
  const USERS = 50;
  const names = Array.from({ length: USERS }, freshName);
  // Every combination is met by somebody, and nobody's sums are another's.
  const events = names.flatMap((sub, user) =>
    requestsOf(
      sub,
      ...Array.from({ length: 12 }, (_, turn) => ({
        atMs: NOW_MS - (turn % 6) * DAY_MS - turn * 3_700_000,
        model: `model-${(user + turn) % 3}`,
        keyId: turn % 4 === 0 ? null : `key_${turn % 3}`,
        tenant: user % 2 === 0 ? null : "shared-tenant",
        host: turn % 5 === 0 ? null : "gpu",
        promptTokens: 1_000 * user + turn,
        completionTokens: turn,
        cachedTokens: turn % 2 === 0 ? null : turn,
        estimated: turn % 5 === 0,
        costMicros: turn % 3 === 0 ? null : user + turn,
        outcome: turn % 7 === 0 ? ("upstream_error" as const) : ("complete" as const),
      })),
    ),
  );
  beforeAll(async () => {
    await record(...events);
    await rollUp(...events);
  });

  test("fifty callers, any grouping, any range: the sums of each one's own rows", async () => {
    const minute = fc.integer({ min: 0, max: 8 * 1_440 }).map((count) => {
      return Math.floor(NOW_MS / 60_000) * 60_000 + (count - 7 * 1_440) * 60_000;
    });
    const range = fc.tuple(minute, minute).map(([one, other]) => ({
      fromMs: Math.min(one, other),
      toMs: Math.max(one, other) + 60_000,
    }));
    const groups = fc.shuffledSubarray(OWN_GROUPS, { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(fc.nat(USERS - 1), groups, range, async (user, groupBy, { fromMs, toMs }) => {
        const sub = names[user] ?? "";
        const own = events.filter(({ userId, atMs }) => userId === sub && atMs >= fromMs && atMs < toMs);
        const query = { from: new Date(fromMs).toJSON(), to: new Date(toMs).toJSON(), group_by: groupBy.join() };
        const { data, totals } = await usageOf({ as: { sub } }, query);
        expect(asText(data)).toEqual(asText(grouped(own, groupBy)));
        expect(totals).toEqual(summed(own));
      }),
      { numRuns: 60 },
    );
  });

  test("an administrator too sees here what the administrator has used", async () => {
    expect((await usageOf({ as: { sub: freshName(), groups: ["ai-admins"] } })).data).toEqual([]);
  });

  test("users of one name, of two issuers and of an API key, do not see each other", async () => {
    const sub = freshName();
    const second = "https://second.example.test/";
    const accounts = [accountOf(sub), `${second}|${sub}`, `key|${sub}`];
    const [first, other, keys] = accounts.map((account, at) =>
      eventWith({ account, userId: sub, atMs: NOW_MS, promptTokens: at + 1 }),
    );
    if (first === undefined || other === undefined || keys === undefined) throw new Error("no events");
    await record(first, other, keys);
    const issuers = [{ issuer: second, audience: "causeway" }];
    await env.KV.put(CATALOG_KEY, JSON.stringify({ ...CATALOG, issuers }));
    const issuer = await testIssuer(Date.now(), second);
    const others = vi.mocked(fetch).getMockImplementation();
    vi.mocked(fetch).mockImplementation((input, init) =>
      String(input).startsWith(second) || others === undefined ? issuer.fetcher(input, init) : others(input, init),
    );
    const grant = {
      owner: sub,
      tier: "default",
      scopes: ["inference" as const],
      label: "",
      expiresAtMs: NOW_MS + DAY_MS,
    };
    const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
    const { key, kvKey, record: keyRecord } = await issueApiKey(env.CAUSEWAY_SECRET, grant, random);
    await env.KV.put(kvKey, JSON.stringify(keyRecord));
    const bearer = (token: string): Asked => ({ headers: { authorization: `Bearer ${token}` } });
    const seen = [
      await usageOf({ as: { sub } }),
      // The catalog is read again after a while only; a Worker of its own has none in memory.
      await ownWorker(bearer(await issuer.sign({ sub, aud: "causeway" }))),
      await usageOf(bearer(key)),
    ];
    expect(seen.map(({ totals }) => totals)).toEqual([summed([first]), summed([other]), summed([keys])]);
  });

  async function ownWorker({ headers = {} }: Asked) {
    const context = createExecutionContext();
    const response = await app.fetch(new Request("http://x/v1/usage", { headers }), { ...env } as Env, context);
    await waitOnExecutionContext(context);
    return page.parse(await response.json());
  }
});

const DAY = "2026-11-21";
describe("a wrong query is refused, with the parameter's name", () => {
  const cursorOf = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  test.each<{ query: string; param: string }>([
    { query: "colour=red", param: "colour" },
    { query: "user=someone", param: "user" },
    { query: "account=someone", param: "account" },
    { query: "__proto__=x", param: "__proto__" },
    { query: `from=${DAY}&from=${DAY}`, param: "from" },
    { query: "from=", param: "from" },
    { query: "from=yesterday", param: "from" },
    { query: "from=2026-02-30", param: "from" },
    { query: "from=2026-11-21T08:00:00", param: "from" },
    { query: "from=2026-11-21T08:00:00+01:00", param: "from" },
    { query: "from=1763712000", param: "from" },
    { query: "from=1999-12-31", param: "from" },
    { query: "from=9999-12-31", param: "from" },
    { query: "to=+010000-01-01", param: "to" },
    { query: "to=0000-01-01", param: "to" },
    { query: `from=${DAY}&to=${DAY}`, param: "from" },
    { query: "from=2026-11-22&to=2026-11-21", param: "from" },
    { query: "from=2020-01-01&to=2026-11-21", param: "from" },
    { query: "from=2025-11-20&to=2026-11-22", param: "from" },
    { query: "group_by=", param: "group_by" },
    { query: "group_by=day,", param: "group_by" },
    { query: "group_by=day,day", param: "group_by" },
    { query: "group_by=user", param: "group_by" },
    { query: "group_by=key_id", param: "group_by" },
    { query: "group_by=toString", param: "group_by" },
    { query: "group_by=day;--", param: "group_by" },
    { query: "group_by[]=day", param: "group_by[]" },
    { query: "limit=0", param: "limit" },
    { query: "limit=1001", param: "limit" },
    { query: "limit=1e2", param: "limit" },
    { query: "limit=-1", param: "limit" },
    { query: "cursor=", param: "cursor" },
    { query: "cursor=%25", param: "cursor" },
    { query: `cursor=${cursorOf("x")}`, param: "cursor" },
    { query: `cursor=${cursorOf([DAY, "m"])}`, param: "cursor" },
    { query: `cursor=${cursorOf([DAY, "m", null])}`, param: "cursor" },
    { query: `cursor=${cursorOf(["now'; --", "m", "k"])}`, param: "cursor" },
    { query: `cursor=${cursorOf(["infinity", "m", "k"])}`, param: "cursor" },
    { query: `cursor=${cursorOf([DAY, "m\0", "k"])}`, param: "cursor" },
    { query: `cursor=${cursorOf([DAY, "m\ud800", "k"])}`, param: "cursor" },
    { query: `group_by=model&cursor=${cursorOf([DAY, "m", "k"])}`, param: "cursor" },
  ])("$query", async ({ query, param }) => {
    const response = await gateway.ask(`/v1/usage?${query}`);
    expect({ status: response.status, body: await response.json() }).toEqual({
      status: 400,
      body: { error: { code: "invalid_value", type: "invalid_request_error", param, message: expect.any(String) } },
    });
  });
});

test("nothing that a caller can write into a parameter is the gateway's failure", async () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 60 }),
    fc.constantFrom("'; DROP TABLE usage_minute; --", "\0", "a\0b", "\ud800", "%00", "NaN", "1e309", "[]"),
  );
  const time = fc.oneof(
    fc.constantFrom("2999-12-31T23:59:59.999-23:59", "2000-01-01T00:00:00+23:59", "2026-11-21T25:00:00Z", "infinity"),
    fc.date({ noInvalidDate: true }).map((date) => date.toJSON()),
    fc.date({ noInvalidDate: true }).map((date) => date.toJSON().slice(0, -14)),
  );
  const encoded = (position: unknown): string => Buffer.from(JSON.stringify(position)).toString("base64url");
  const one = (name: string, value: fc.Arbitrary<string>) => value.map((hostile) => ({ [name]: hostile }));
  // One parameter is hostile and the rest is right, or what is wrong elsewhere would hide it.
  const query = fc.oneof(
    one("from", fc.oneof(text, time)),
    one("to", fc.oneof(text, time)),
    one("group_by", text),
    one("limit", text),
    one("cursor", fc.oneof(text, fc.jsonValue().map(encoded))),
    text.map((label) => ({ group_by: "model", cursor: encoded([label]) })),
    fc.tuple(text, text).map(([day, model]) => ({ group_by: "day,model", cursor: encoded([day, model]) })),
    fc.tuple(text, text).map(([name, value]) => ({ [name]: value })),
  );
  await fc.assert(
    fc.asyncProperty(query, async (asked) => {
      const response = await gateway.ask(`/v1/usage?${new URLSearchParams(asked)}`);
      await response.arrayBuffer();
      expect([200, 400]).toContain(response.status);
    }),
    { numRuns: 200 },
  );
});

test("with the database down it says so, and when to come back, and nothing of where the database is", async () => {
  const connectionString = "postgres://nobody:top-secret@127.0.0.1:1/none";
  const headers = { authorization: `Bearer ${await gateway.issuer.sign()}` };
  const context = createExecutionContext();
  const bindings = { ...env, HYPERDRIVE: { connectionString } } as unknown as Env;
  const response = await app.fetch(new Request("http://x/v1/usage", { headers }), bindings, context);
  await waitOnExecutionContext(context);
  expect(response.headers.has("retry-after")).toBe(true);
  const text = await response.text();
  expect({ status: response.status, body: JSON.parse(text) }).toMatchObject({
    status: 503,
    body: { error: { code: "unavailable" } },
  });
  expect(text).not.toMatch(/top-secret|127\.0\.0\.1/);
});
