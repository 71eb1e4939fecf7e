import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { ask, credentialOf } from "./world.ts";

const page = z.object({
  data: z.array(z.record(z.string(), z.unknown())),
  next: z.string().nullable(),
});

async function trail(query: Record<string, string>): Promise<Record<string, unknown>[]> {
  const response = await ask(`/admin/audit?${new URLSearchParams(query)}`, { as: "admin" });
  return page.parse(await response.json()).data;
}

/** The rows of one request, once there is any. */
async function rowsFor(action: string, requestId: string): Promise<Record<string, unknown>[]> {
  return eventually(async () => {
    const rows = (await trail({ action, limit: "200" })).filter((row) => row.request_id === requestId);
    return rows.length > 0 ? rows : undefined;
  }, `the trail has no ${action} for ${requestId}`);
}

const subjectOf = (principal: "default" | "admin"): unknown =>
  JSON.parse(Buffer.from(credentialOf(principal).split(".")[1] ?? "", "base64url").toString()).sub;

const MADE_UP = "cw_made-up-credential-that-must-not-be-kept";

describe("what was done, and what was denied, is in the trail exactly once", () => {
  test.each([
    {
      name: "one who may not",
      path: "/admin/fleet",
      init: { as: "default" },
      status: 403,
      row: { action: "access.denied", outcome: "denied", target: "/admin/fleet", actor: () => subjectOf("default") },
    },
    {
      name: "a stranger",
      path: "/v1/models",
      init: { headers: { authorization: `Bearer ${MADE_UP}` } },
      status: 401,
      row: { action: "access.denied", outcome: "denied", target: "/v1/models", actor: () => "anonymous" },
    },
    {
      name: "an administrator's purge",
      path: "/admin/issuer-keys",
      init: { method: "DELETE", as: "admin" },
      status: 200,
      row: {
        action: "issuer-keys.purge",
        outcome: "ok",
        target: "every issuer",
        actor: () => subjectOf("admin"),
      },
    },
  ] as const)("$name", async ({ path, init, status, row }) => {
    const startedAtMs = Date.now();
    const response = await ask(path, init);
    await response.body?.cancel();
    expect(response.status).toBe(status);
    const id = response.headers.get("x-request-id") ?? "";
    const rows = await rowsFor(row.action, id);
    expect(rows).toEqual([expect.objectContaining({ ...row, actor: row.actor(), request_id: id })]);
    expect(rows[0]?.ip).toMatch(/^(127\.0\.0\.1|::1|::ffff:127\.0\.0\.1)$/);
    expect(Date.parse(String(rows[0]?.timestamp))).toBeGreaterThanOrEqual(startedAtMs);
  });

  test("the catalog in force was told of, once, by the gateway itself", async () => {
    const loads = await eventually(async () => {
      const rows = await trail({ action: "catalog.load" });
      return rows.length > 0 ? rows : undefined;
    }, "the trail has no catalog.load");
    expect(loads).toEqual([expect.objectContaining({ actor: "system", outcome: "ok", request_id: null, ip: null })]);
  });
});

test("no row holds a credential's text", async () => {
  const { tokens, apiKey } = stack;
  const credentials = [MADE_UP, apiKey, ...Object.values(tokens)];
  // A token's signature alone would be enough to recognise it by, and a key without its prefix.
  const telling = credentials.flatMap((text) => [text, text.split(".").at(-1) ?? text, text.replace(/^cw_/, "")]);
  let cursor: string | null = null;
  const rows: unknown[] = [];
  do {
    const query = new URLSearchParams({ limit: "200", ...(cursor === null ? {} : { cursor }) });
    const found = page.parse(await (await ask(`/admin/audit?${query}`, { as: "admin" })).json());
    rows.push(...found.data);
    cursor = found.next;
  } while (cursor !== null);
  const text = JSON.stringify(rows);
  expect(rows.length).toBeGreaterThan(0);
  expect(telling.filter((secret) => text.includes(secret))).toEqual([]);
});

test("with a database that accepts and never answers an administrator hears 503, and callers are served", async () => {
  const pid = Number(readFileSync(join(stack.stateDir, "postgres", "postmaster.pid"), "utf8").split("\n")[0]);
  process.kill(pid, "SIGSTOP");
  try {
    const response = await ask("/admin/audit", { as: "admin", signal: AbortSignal.timeout(3_000) });
    expect(response.headers.has("retry-after")).toBe(true);
    expect(await response.json()).toMatchObject({ status: 503, code: "unavailable" });
    expect((await ask("/v1/models", { as: "default" })).status).toBe(200);
  } finally {
    process.kill(pid, "SIGCONT");
  }
  expect(
    await eventually(async () => (await ask("/admin/audit", { as: "admin" })).ok || undefined, "no way back"),
  ).toBe(true);
});
