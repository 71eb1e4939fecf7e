import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { app } from "#src/app.ts";
import type { Env } from "#src/env.ts";
import { inSession } from "#src/postgres/session.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { parseCsv } from "#test/support/csv.ts";
import { eventWith } from "#test/support/events.ts";
import { type Gateway, startGateway } from "#test/support/gateway.ts";
import { GROUPS, grouped, record, rollUp, summed } from "#test/support/usage.ts";

const DAY_MS = 86_400_000;
/** The Worker's clock stands here, so that no midnight passes while these tests run. */
const NOW_MS = Date.parse("2026-11-21T12:00:00.500Z");
const ADMIN = { groups: ["ai-admins"], sub: "admin-user" };
const SUMS = Object.keys(summed([]));

const row = z.record(z.string(), z.union([z.string(), z.number(), z.null()]));
const page = z.strictObject({
  object: z.literal("list"),
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  group_by: z.array(z.string()),
  data: z.array(row),
  totals: row,
  next: z.string().nullable(),
});

let gateway: Gateway;
beforeAll(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOW_MS });
  gateway = await startGateway();
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  await record(...EVENTS);
  await rollUp(...EVENTS);
});
afterAll(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** What the tests of this file leave behind stands in a tenant of its own; other rows of the database do not count. */
const TENANT = `tenant-${crypto.randomUUID()}`;
const HOSTILE = ["=1+1", "+1", "-1", "@x", "a,b", 'q"q', "line\r\nbreak", "'=x", "ñ🚇", "a;b", " ", "%", "\\", "null"];
const EVENTS: InferenceEvent[] = Array.from({ length: 84 }, (_, turn) => {
  const user = HOSTILE[turn % HOSTILE.length] ?? "";
  const issuer = turn % 3 === 0 ? "https://one.test" : "https://two.test";
  return eventWith({
    atMs: NOW_MS - (turn % 5) * DAY_MS - turn * 60_000,
    account: `${issuer}|${user}`,
    userId: user,
    tenant: TENANT,
    model: HOSTILE[(turn * 5) % HOSTILE.length] ?? "",
    keyId: turn % 4 === 0 ? null : `key_${turn % 3}`,
    host: turn % 6 === 0 ? null : `host-${turn % 2}`,
    promptTokens: turn,
    costMicros: turn % 3 === 0 ? null : turn,
    outcome: turn % 7 === 0 ? "upstream_error" : "complete",
  });
});

async function usageOf(query: Record<string, string>) {
  const response = await gateway.ask(`/admin/usage?${new URLSearchParams({ tenant: TENANT, ...query })}`, {
    as: ADMIN,
  });
  const body: unknown = await response.json();
  expect({ status: response.status, body }).toMatchObject({ status: 200 });
  return page.parse(body);
}

function csvOf(query: Record<string, string>, accept = "text/csv"): Promise<Response> {
  const path = `/admin/usage?${new URLSearchParams({ tenant: TENANT, ...query })}`;
  return gateway.ask(path, { as: ADMIN, headers: { accept } });
}

const asText = (rows: readonly object[]): string[] =>
  rows.map((one) => JSON.stringify(Object.entries(one).sort())).sort();

describe("everybody's usage", () => {
  test.each([...GROUPS.map((group) => [group]), ["day", "account", "user"], ["host", "model", "tenant"], GROUPS])(
    "by %s",
    async (...names) => {
      const groupBy = names.filter((name) => typeof name === "string");
      const found = await usageOf({ group_by: groupBy.join(), limit: "1000" });
      expect(found.group_by).toEqual(groupBy);
      expect(asText(found.data)).toEqual(asText(grouped(EVENTS, groupBy)));
      expect(found.totals).toEqual(summed(EVENTS));
    },
  );

  test("by day, account, model and key unless asked otherwise, a hundred rows a page", async () => {
    const found = await usageOf({});
    expect(found.group_by).toEqual(["day", "account", "model", "key"]);
    const all = grouped(EVENTS, found.group_by);
    expect(found.data).toHaveLength(Math.min(100, all.length));
  });

  test.each<{ query: Record<string, string>; fits: (event: InferenceEvent) => boolean }>([
    { query: { user: "a,b" }, fits: ({ userId }) => userId === "a,b" },
    { query: { user: "%" }, fits: ({ userId }) => userId === "%" },
    { query: { account: "https://one.test|=1+1" }, fits: ({ account }) => account === "https://one.test|=1+1" },
    { query: { model: 'q"q' }, fits: ({ model }) => model === 'q"q' },
    { query: { key: "key_1" }, fits: ({ keyId }) => keyId === "key_1" },
    { query: { host: "host-0" }, fits: ({ host }) => host === "host-0" },
    { query: { key: "key_2", host: "host-1" }, fits: ({ keyId, host }) => keyId === "key_2" && host === "host-1" },
    { query: { user: "' OR '1'='1" }, fits: () => false },
    { query: { tenant: "none" }, fits: () => false },
  ])("filtered by $query", async ({ query, fits }) => {
    const { data, totals } = await usageOf({ ...query, group_by: "day,user,host", limit: "1000" });
    const fitting = EVENTS.filter(fits);
    expect(asText(data)).toEqual(asText(grouped(fitting, ["day", "user", "host"])));
    expect(totals).toEqual(summed(fitting));
  });

  test("names too long for the sums' key are still told apart, and found", async () => {
    const subs = ["a", "b"].map((end) => "🚇".repeat(120) + end);
    const host = "of-long-names";
    const accountOf = (sub: string): string => `${env.OIDC_ISSUER}|${sub}`;
    await record(
      ...subs.map((sub) => eventWith({ atMs: NOW_MS, tenant: TENANT, account: accountOf(sub), userId: sub, host })),
    );
    expect((await usageOf({ host, group_by: "account" })).data).toHaveLength(2);
    for (const sub of subs) {
      const query = { host, account: accountOf(sub) };
      expect((await usageOf(query)).totals.requests).toBe(1);
      const own = await gateway.ask("/v1/usage", { as: { sub } });
      expect(await own.json()).toMatchObject({ totals: { requests: 1 } });
    }
  });
});

describe("CSV", () => {
  test.each([["day,account,model,key"], [GROUPS.join()], ["user"], ["model,day"]])(
    "read back it is the JSON: by %s",
    async (group_by) => {
      const response = await csvOf({ group_by });
      expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
      const [header, ...lines] = parseCsv(await response.text());
      expect(header).toEqual([...group_by.split(","), ...SUMS]);
      const { data } = await usageOf({ group_by, limit: "1000" });
      const read = lines.map((cells) =>
        Object.fromEntries(cells.map((cell, at) => [header?.[at] ?? "", readCell(cell, header?.[at])])),
      );
      expect(read).toEqual(data);
    },
  );

  /** As a reader would that knows the columns, and of the apostrophe before what might be a formula. */
  function readCell(cell: string, column = ""): string | number | null {
    if (cell === "") return null;
    return SUMS.includes(column) ? Number(cell) : cell.replace(/^'(?='*[=+\-@])/, "");
  }

  test("nothing used: the header alone", async () => {
    const response = await csvOf({ user: "nobody", group_by: "day" });
    expect(await response.text()).toBe(`day,${SUMS.join()}\r\n`);
  });

  test.each([
    { accept: "*/*", type: "application/json" },
    { accept: "application/json", type: "application/json" },
    { accept: "text/csv;q=0.5, application/json;q=0.1", type: "text/csv; charset=utf-8" },
  ])("$accept: $type", async ({ accept, type }) => {
    const response = await csvOf({ group_by: "day" }, accept);
    await response.arrayBuffer();
    expect(response.headers.get("content-type")).toBe(type);
  });

  test.each([
    { query: { limit: "5" }, param: "limit" },
    { query: { cursor: "x" }, param: "cursor" },
  ])("has no pages: $param", async ({ query, param }) => {
    const response = await csvOf(query);
    expect(await response.json()).toMatchObject({
      code: "invalid_value",
      detail: expect.stringContaining(`${param}: `),
    });
  });
});

describe("a wrong query is refused, with the parameter's name", () => {
  test.each<{ query: string; param: string }>([
    { query: "tier=basic", param: "tier" },
    { query: "group_by=tier", param: "group_by" },
    { query: "group_by=day,user,day", param: "group_by" },
    { query: "user=", param: "user" },
    { query: "user=a&user=b", param: "user" },
    { query: "model=%00", param: "model" },
    { query: `host=${"x".repeat(513)}`, param: "host" },
    { query: "from=2026-13-01", param: "from" },
    { query: "from=2020-01-01", param: "from" },
    { query: "limit=1001", param: "limit" },
    { query: "cursor=x", param: "cursor" },
  ])("$query", async ({ query, param }) => {
    const response = await gateway.ask(`/admin/usage?${query}`, { as: ADMIN });
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await response.json()).toMatchObject({
      status: 400,
      code: "invalid_value",
      detail: expect.stringMatching(new RegExp(`^${param}: `)),
    });
  });
});

test("nothing that can be written into a parameter is the gateway's failure", async () => {
  const hostile = fc.oneof(
    fc.string({ unit: "binary", maxLength: 60 }),
    fc.constantFrom("' OR '1'='1", "'; DROP TABLE usage_day; --", "\0", "%", "$1", "NaN", "\u202e", "\ud800"),
  );
  const name = fc.constantFrom("user", "account", "tenant", "key", "model", "host", "group_by", "cursor", "from", "to");
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, hostile, { minKeys: 1 }), hostile, async (query, accept) => {
      const headers = { accept: accept.replace(/[^\x20-\x7e]/g, "?") };
      const response = await gateway.ask(`/admin/usage?${new URLSearchParams(query)}`, { as: ADMIN, headers });
      await response.arrayBuffer();
      expect([200, 400]).toContain(response.status);
    }),
    { numRuns: 100 },
  );
});

test("with the database down it says so, in the form of every error", async () => {
  const connectionString = "postgres://nobody:top-secret@127.0.0.1:1/none";
  const headers = { authorization: `Bearer ${await gateway.issuer.sign(ADMIN)}`, accept: "text/csv" };
  const context = createExecutionContext();
  const bindings = { ...env, HYPERDRIVE: { connectionString } } as unknown as Env;
  const response = await app.fetch(new Request("http://x/admin/usage", { headers }), bindings, context);
  await waitOnExecutionContext(context);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.json()).toMatchObject({ status: 503, code: "unavailable" });
});

// Last, because the rows that it leaves behind make every other question dear.
test("more rows than one answer holds are refused, not cut", async () => {
  const tenant = `many-${crypto.randomUUID()}`;
  const fill = `
    INSERT INTO usage_minute (minute, account, user_id, tenant, key_id, model, host, requests)
    SELECT to_timestamp($1::double precision / 1000), 'many|' || n, n, $2, '', 'm', '', 1 FROM generate_series(1, $3) AS n`;
  const write = (rows: number) =>
    inSession(env.HYPERDRIVE.connectionString, (session) => session.query(fill, [NOW_MS - 3_600_000, tenant, rows]));
  await write(10_001);
  const response = await csvOf({ tenant, group_by: "account" });
  expect(await response.json()).toMatchObject({ status: 400, detail: expect.stringContaining("group_by: ") });
  const less = await csvOf({ tenant, group_by: "model" });
  expect(parseCsv(await less.text())).toHaveLength(2);
});
