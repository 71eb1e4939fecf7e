import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { expect, test } from "vitest";
import { stack } from "./stack.ts";
import { ask, credentialOf, rowOf } from "./world.ts";

const PROMPT = "canary-prompt-5f1d77c0e2";

/** Every file below a folder. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}

/** Every row of every table, as text. */
async function tables(): Promise<{ where: string; text: string }[]> {
  const client = new pg.Client({ connectionString: stack.database });
  await client.connect();
  try {
    const names = await client.query<{ name: string }>(
      "SELECT quote_ident(table_name) AS name FROM information_schema.tables WHERE table_schema = 'public'",
    );
    const found: { where: string; text: string }[] = [];
    for (const { name } of names.rows) {
      const { rows } = await client.query<{ text: string | null }>(`SELECT json_agg(t)::text AS text FROM ${name} t`);
      found.push({ where: `table ${name}`, text: rows[0]?.text ?? "" });
    }
    return found;
  } finally {
    await client.end();
  }
}

test("a JWT, an API key, a prompt and the database's password are in no log, no table, no error and no store", async () => {
  const chat = (as: "default" | "apiKey", more: object) =>
    ask("/v1/chat/completions", {
      method: "POST",
      as,
      body: JSON.stringify({
        model: "llama-3.1-8b",
        messages: [{ role: "user", content: `${PROMPT} [[tokens=3]]` }],
        ...more,
      }),
    });
  const responses = [
    await chat("default", {}),
    await chat("apiKey", { stream: true }),
    await chat("default", { model: "no-such-model" }),
    await chat("default", { temperature: "hot" }),
    await chat("default", { max_tokens: -1 }),
    await ask("/v1/chat/completions", { method: "POST", as: "default", body: `{"messages": ["${PROMPT}"` }),
    await ask("/admin/keys", { as: "default" }),
  ];
  const bodies = await Promise.all(responses.map((response) => response.text()));
  const answered = responses.slice(0, 2).map(({ headers }) => headers.get("x-request-id") ?? "");
  for (const id of answered) await rowOf(id);

  const { database, stateDir } = stack;
  const canaries = {
    "the JWT": credentialOf("default"),
    "the API key": credentialOf("apiKey"),
    "the prompt": PROMPT,
    "the database's password": decodeURIComponent(new URL(database).password),
  };
  // Logs, and what wrangler keeps: KV, the objects' databases, the cache.
  const kept = ["logs", "wrangler"].flatMap((folder) => filesBelow(join(stateDir, folder)));
  const places = [
    ...bodies.slice(2).map((text, at) => ({ where: `error ${at}`, text })),
    ...(await tables()),
    ...kept.map((path) => ({ where: path, text: readFileSync(path, "latin1") })),
  ];
  expect(places.length).toBeGreaterThan(15);
  const leaks = Object.entries(canaries).flatMap(([what, canary]) =>
    places.filter(({ text }) => text.includes(canary)).map(({ where }) => `${what} in ${where}`),
  );
  expect(leaks).toEqual([]);
});
