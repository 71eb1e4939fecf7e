import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { reconcileApiKeys } from "#src/admin/api-key-reconcile.ts";
import { accountOfKey, kvKeyFor } from "#src/auth/api-key.ts";
import { type ApiKey, deliverApiKey, insertApiKey, revokeApiKey } from "#src/postgres/api-keys.ts";
import { inSession, type Session } from "#src/postgres/session.ts";

const db = <T>(work: (session: Session) => Promise<T>): Promise<T> => inSession(env.HYPERDRIVE.connectionString, work);
const DAY_MS = 86_400_000;

let logged: string[] = [];
beforeEach(() => {
  logged = [];
  vi.spyOn(console, "error").mockImplementation((line: string) => {
    logged.push(line);
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** A key in the database of which the edge has not heard. */
async function entered(ageMs: number, isDelivered: boolean): Promise<ApiKey> {
  const unique = crypto.randomUUID();
  const createdAt = new Date(Date.now() - ageMs);
  const grant = { owner: unique, tier: "basic", scopes: ["models"] as const, label: "l", createdBy: "ops" };
  const key = { ...grant, id: `key_${unique}`, hash: unique, createdAt, expiresAt: new Date(Date.now() + DAY_MS) };
  return db(async (session) => {
    const row = await insertApiKey(session, key, Date.now());
    return (isDelivered ? await deliverApiKey(session, { ...row, revision: 0 }, Date.now()) : null) ?? row;
  });
}

const record = (key: ApiKey): Promise<unknown> => env.KV.get(kvKeyFor(key.hash), "json");
const isRetired = (key: ApiKey): Promise<boolean> =>
  env.ACCOUNT.getByName(accountOfKey(key.owner)).isKeyRetired(key.id);
const revoke = (key: ApiKey) => db((session) => revokeApiKey(session, key.id, Date.now()));

test("the edge hears what it has missed, however long ago", async () => {
  const key = await entered(DAY_MS, true);
  await reconcileApiKeys(env, Date.now());
  expect(await record(key)).toMatchObject({ id: key.id, scopes: ["models"] });
  await revoke(key);
  await reconcileApiKeys(env, Date.now());
  expect(await record(key)).toBeNull();
  expect(await isRetired(key)).toBe(true);
});

test("a stale record that comes after the revocation is gone by the next minute", async () => {
  const key = await entered(0, true);
  await revoke(key);
  await reconcileApiKeys(env, Date.now());
  await env.KV.put(kvKeyFor(key.hash), "{}");
  await reconcileApiKeys(env, Date.now());
  expect(await record(key)).toBeNull();
});

test("what was told, and is older than an hour, is left alone", async () => {
  const key = await entered(2 * 3_600_000, true);
  await reconcileApiKeys(env, Date.now());
  await env.KV.delete(kvKeyFor(key.hash));
  await reconcileApiKeys(env, Date.now());
  expect(await record(key)).toBeNull();
});

test("a key that nobody was shown never opens anything, and is withdrawn after five minutes", async () => {
  const [young, old] = [await entered(60_000, false), await entered(6 * 60_000, false)];
  await reconcileApiKeys(env, Date.now());
  expect([await record(young), await record(old)]).toEqual([null, null]);
  expect([await isRetired(young), await isRetired(old)]).toEqual([false, true]);
});

test("one key's failure is not the others', and is tried again", async () => {
  const [bad, good] = [await entered(0, true), await entered(0, true)];
  const put = async (name: string, ...rest: [string, KVNamespacePutOptions]): Promise<void> => {
    if (name === kvKeyFor(bad.hash)) throw new Error("down");
    await env.KV.put(name, ...rest);
  };
  const halfDeaf = { put, delete: (name: string) => env.KV.delete(name) } as unknown as KVNamespace;
  await reconcileApiKeys({ ...env, KV: halfDeaf }, Date.now());
  expect([await record(bad), (await record(good)) !== null]).toEqual([null, true]);
  expect(logged.join()).toContain(bad.id);
  await reconcileApiKeys(env, Date.now());
  expect(await record(bad)).toMatchObject({ id: bad.id });
});

test("without a database nothing is thrown", async () => {
  const HYPERDRIVE = { connectionString: "postgres://nobody:nothing@127.0.0.1:1/none" } as Hyperdrive;
  await reconcileApiKeys({ ...env, HYPERDRIVE }, Date.now());
  expect(logged.join()).toContain("api-keys.reconcile");
});
