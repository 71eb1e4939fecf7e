import { execFile } from "node:child_process";
import { promisify } from "node:util";
import OpenAI from "openai";
import pg from "pg";
import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { ask } from "./world.ts";

const run = promisify(execFile);
const root = new URL("../..", import.meta.url).pathname;
const OWNER = `flow-${stack.pid}`;
/** From the answer to a revocation until nobody is admitted any more, anywhere. */
const REVOKED_WITHIN_MS = 5_000;

/** `npm run key`, as a person gives it. */
async function key(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return run("npm", ["run", "--silent", "key", "--", ...args, "--state", stack.stateDir], { cwd: root });
}

const listed = z.array(z.object({ id: z.string(), state: z.string(), lastUsedAt: z.string().nullable() }));
const keys = async (): Promise<z.infer<typeof listed>> =>
  listed.parse(JSON.parse((await key("list", "--owner", OWNER, "--json")).stdout));

/** The statuses of a completion and of a model list, by the official client. */
async function opens(apiKey: string): Promise<[chat: number, models: number]> {
  const client = new OpenAI({ apiKey, baseURL: `${stack.gateway}/v1`, maxRetries: 0 });
  const status = (work: Promise<unknown>): Promise<number> =>
    work.then(
      () => 200,
      (error: unknown) => (error instanceof OpenAI.APIError ? (error.status ?? 0) : 0),
    );
  const content = "a key [[tokens=2]]";
  return Promise.all([
    status(
      client.chat.completions.create({ model: "phi-3-mini", messages: [{ role: "user", content }], temperature: 1 }),
    ),
    status(client.models.list()),
  ]);
}

async function query(text: string, values: unknown[]): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: stack.database });
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}

describe("a key's life, by the command line and the official client", () => {
  const made = { first: "", firstId: "", second: "", secondId: "" };
  beforeAll(async () => {
    const { stdout, stderr } = await key("issue", "--owner", OWNER, "--scopes", "inference,models", "--label", "flow");
    made.first = stdout.trim();
    made.firstId = (await keys())[0]?.id ?? "";
    expect(stderr).toContain(made.firstId);
  });

  test("issued, it works at once, and its use is noted", async () => {
    expect(made.first).toMatch(/^cw_[\w-]{48}$/);
    expect(await opens(made.first)).toEqual([200, 200]);
    const used = await eventually(async () => (await keys())[0]?.lastUsedAt ?? undefined, "its use was never noted");
    expect(Date.parse(used)).toBeLessThanOrEqual(Date.now());
  });

  test("its text is in no table and not in the list", async () => {
    const rows = await query("SELECT to_jsonb(k)::text AS row FROM api_keys k", []);
    const { stdout } = await key("list");
    expect(JSON.stringify(rows) + stdout).not.toContain(made.first.slice(3, 20));
    expect(stdout).toContain("local-key");
  });

  test("it opens only what its scopes name", async () => {
    const response = await ask("/admin/keys", { headers: { authorization: `Bearer ${made.first}` } });
    expect(response.status).toBe(403);
  });

  test("rotated, both work", async () => {
    const { stdout } = await key("rotate", made.firstId, "--overlap-hours", "1");
    made.second = stdout.trim();
    made.secondId = (await keys()).find(({ state }) => state === "active")?.id ?? "";
    expect(await opens(made.first)).toEqual([200, 200]);
    expect(await opens(made.second)).toEqual([200, 200]);
    await expect(key("rotate", made.firstId)).rejects.toMatchObject({ code: 1 });
  });

  test("revoked, it is refused within 5 s on every route, and the other one goes on", async () => {
    await key("revoke", made.firstId);
    const refused = async () => ((await opens(made.first)).every((status) => status === 401) ? true : undefined);
    await eventually(refused, "the revoked key still opens something", REVOKED_WITHIN_MS);
    expect(await opens(made.second)).toEqual([200, 200]);
    await key("revoke", made.firstId);
    await key("revoke", made.secondId);
    expect((await keys()).map(({ state }) => state)).toEqual(["revoked", "revoked"]);
  });

  test("the trail tells it", async () => {
    const text =
      "SELECT action, outcome, actor FROM audit_log WHERE target = ANY ($1) AND outcome = 'ok' ORDER BY timestamp";
    const acts = ["key.issue", "key.rotate", "key.revoke", "key.revoke", "key.revoke"];
    const trail = await eventually(async () => {
      const rows = await query(text, [[made.firstId, made.secondId]]);
      return rows.length === acts.length ? rows : undefined;
    }, "an act is missing from audit_log");
    expect(trail).toEqual(acts.map((action) => ({ action, outcome: "ok", actor: "admin-user" })));
  });
});

test.each<{ name: string; args: string[]; code: number; says: string }>([
  {
    name: "a wrong scope",
    args: ["issue", "--owner", "x", "--scopes", "root", "--label", "l"],
    code: 2,
    says: "scopes",
  },
  { name: "no such key", args: ["revoke", "key_none"], code: 1, says: "npm run key -- list" },
  { name: "no command", args: [], code: 2, says: "issue" },
])("what is wrong is said: $name", async ({ args, code, says }) => {
  await expect(key(...args)).rejects.toMatchObject({ code, stderr: expect.stringContaining(says) });
});
