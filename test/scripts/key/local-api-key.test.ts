// The stack's own key: the same as long as it is good, in the database like every other, and a new one once it has ended.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { localApiKey } from "#scripts/stack/local-api-key.ts";
import { migrate } from "#scripts/stack/migrate.ts";
import { freePort } from "#scripts/stack/ports.ts";
import { startPostgres } from "#scripts/stack/postgres.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { Supervisor } from "#scripts/stack/supervisor.ts";
import { type ApiKey, listApiKeys, revokeApiKey } from "#src/postgres/api-keys.ts";

const NOW_MS = 1_790_000_000_000;
const DAY_MS = 86_400_000;
const SECRET = "only-for-tests-only-for-tests-only-for-tests";

const folder = mkdtempSync(join(tmpdir(), "causeway-test-"));
const state = openStateDir(join(folder, "state"));
const supervisor = new Supervisor(state);
let url = "";
let client: pg.Client;
beforeAll(async () => {
  url = await startPostgres(supervisor, state, await freePort());
  await migrate(url);
  client = new pg.Client({ connectionString: url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await supervisor.stopAll();
  rmSync(folder, { recursive: true, force: true });
});

const keys = (): Promise<ApiKey[]> => listApiKeys(client, { owner: null, state: null, after: null, limit: 10 }, NOW_MS);

it("is kept, entered once, and made anew when it was revoked, is about to expire, or the secret is another", async () => {
  const first = await localApiKey(state, SECRET, url, NOW_MS);
  expect(await localApiKey(state, SECRET, url, NOW_MS + DAY_MS)).toEqual(first);
  expect((await keys()).map(({ id, state: is }) => [id, is])).toEqual([[first.record.id, "active"]]);

  await client.query("DELETE FROM api_keys");
  expect(await localApiKey(state, SECRET, url, NOW_MS)).toEqual(first);
  expect(await keys()).toHaveLength(1);

  await revokeApiKey(client, first.record.id, NOW_MS);
  const second = await localApiKey(state, SECRET, url, NOW_MS);
  expect(second.key).not.toBe(first.key);
  const third = await localApiKey(state, SECRET, url, NOW_MS + 364 * DAY_MS);
  expect(third.key).not.toBe(second.key);
  const fourth = await localApiKey(state, `${SECRET}-other`, url, NOW_MS + 364 * DAY_MS);
  expect(fourth.key).not.toBe(third.key);
  expect(JSON.stringify(await keys())).not.toContain(fourth.key);
});
