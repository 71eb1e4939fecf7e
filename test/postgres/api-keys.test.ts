import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import {
  type ApiKey,
  apiKeysTouch,
  deliverApiKey,
  findApiKey,
  insertApiKey,
  keysToTell,
  listApiKeys,
  type NewApiKey,
  noteTold,
  revokeApiKey,
  rotateApiKey,
  withdrawUndelivered,
} from "#src/postgres/api-keys.ts";
import { inSession, type Session } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import { deliver } from "#test/support/deliveries.ts";
import { eventWith } from "#test/support/events.ts";

const NOW_MS = 1_790_000_000_123;
const DAY_MS = 86_400_000;

const db = <T>(work: (session: Session) => Promise<T>): Promise<T> => inSession(env.HYPERDRIVE.connectionString, work);

function keyWith(changed: Partial<NewApiKey> = {}): NewApiKey {
  const unique = crypto.randomUUID();
  return {
    id: `key_${unique}`,
    hash: `hash-${unique}`,
    owner: "n8n",
    tier: "premium",
    scopes: ["inference", "models"],
    label: "nightly 🚇",
    createdAt: new Date(NOW_MS),
    createdBy: "admin-user",
    expiresAt: new Date(NOW_MS + 30 * DAY_MS),
    ...changed,
  };
}

/** A key as its holder has it. */
async function issued(changed: Partial<NewApiKey> = {}): Promise<ApiKey> {
  return db(async (session) => {
    const row = await insertApiKey(session, keyWith(changed), NOW_MS);
    const delivered = await deliverApiKey(session, row, NOW_MS);
    if (delivered === null) throw new Error("not delivered");
    return delivered;
  });
}

const at = (id: string, nowMs = NOW_MS): Promise<ApiKey | null> => db((session) => findApiKey(session, id, nowMs));
const rotate = (id: string, freshId: string, overlapMs: number, nowMs = NOW_MS) =>
  db((session) => rotateApiKey(session, id, { id: freshId, hash: freshId }, nowMs + overlapMs, "ops", nowMs));
const freshId = (): string => `key_${crypto.randomUUID()}`;

test("a key is read as it was entered, and entering it again changes nothing", async () => {
  const key = keyWith();
  const first = await db((session) => insertApiKey(session, key, NOW_MS));
  expect(first).toEqual({
    ...key,
    retiresAt: null,
    revokedAt: null,
    replacedBy: null,
    lastUsedAt: null,
    deliveredAt: null,
    revision: 1,
    state: "undelivered",
  });
  expect(await db((session) => insertApiKey(session, { ...key, owner: "other" }, NOW_MS))).toEqual(first);
  expect(await at(key.id)).toEqual(first);
  expect(await at("key_none")).toBeNull();
});

describe("states", () => {
  test.each<{ name: string; after: (key: ApiKey) => Promise<unknown>; atMs: number; state: string }>([
    { name: "delivered", after: async () => undefined, atMs: NOW_MS, state: "active" },
    { name: "the last moment", after: async () => undefined, atMs: NOW_MS + 30 * DAY_MS - 1, state: "active" },
    { name: "expired", after: async () => undefined, atMs: NOW_MS + 30 * DAY_MS, state: "expired" },
    { name: "in the overlap", after: ({ id }) => rotate(id, freshId(), 1_000), atMs: NOW_MS + 999, state: "retiring" },
    { name: "after it", after: ({ id }) => rotate(id, freshId(), 1_000), atMs: NOW_MS + 1_000, state: "retired" },
    { name: "no overlap", after: ({ id }) => rotate(id, freshId(), 0), atMs: NOW_MS, state: "retired" },
    {
      name: "revoked",
      after: ({ id }) => db((session) => revokeApiKey(session, id, NOW_MS)),
      atMs: NOW_MS + 40 * DAY_MS,
      state: "revoked",
    },
  ])("$name is $state", async ({ after, atMs, state }) => {
    const key = await issued();
    await after(key);
    expect((await at(key.id, atMs))?.state).toBe(state);
  });
});

describe("rotating", () => {
  test("makes a key of the same grant and length of life", async () => {
    const key = await issued({ createdAt: new Date(NOW_MS - DAY_MS) });
    const id = freshId();
    const rotation = await rotate(key.id, id, 3_600_000);
    expect(rotation?.fresh).toEqual({
      ...key,
      id,
      hash: id,
      createdAt: new Date(NOW_MS),
      createdBy: "ops",
      expiresAt: new Date(NOW_MS + 31 * DAY_MS),
      deliveredAt: null,
      revision: 1,
      state: "undelivered",
    });
    const retiresAt = new Date(NOW_MS + 3_600_000);
    expect(rotation?.old).toEqual({ ...key, retiresAt, replacedBy: id, revision: 2, state: "retiring" });
    expect(rotation?.withdrawn).toBeNull();
  });

  test("again, while the fresh key was never delivered, withdraws that and keeps the earlier end", async () => {
    const key = await issued();
    const [lost, id] = [freshId(), freshId()];
    await rotate(key.id, lost, 0);
    const again = await rotate(key.id, id, 3_600_000, NOW_MS + 5);
    expect(again?.withdrawn).toMatchObject({ id: lost, state: "revoked" });
    expect(again?.old).toMatchObject({ replacedBy: id, retiresAt: new Date(NOW_MS) });
    expect(await db((session) => deliverApiKey(session, { id: lost, revision: 1 }, NOW_MS))).toBeNull();
    expect(await db((session) => deliverApiKey(session, { id, revision: 1 }, NOW_MS))).toMatchObject({
      state: "active",
    });
  });

  test.each<{ name: string; before: (key: ApiKey) => Promise<unknown>; atMs?: number }>([
    { name: "revoked", before: ({ id }) => db((session) => revokeApiKey(session, id, NOW_MS)) },
    { name: "expired", before: async () => undefined, atMs: NOW_MS + 30 * DAY_MS },
    {
      name: "rotated",
      before: async ({ id }) => {
        const rotation = await rotate(id, freshId(), 3_600_000);
        if (rotation !== null) await db((session) => deliverApiKey(session, rotation.fresh, NOW_MS));
      },
    },
  ])("not what is $name", async ({ before, atMs = NOW_MS }) => {
    const key = await issued();
    await before(key);
    const row = await at(key.id);
    const id = freshId();
    expect(await rotate(key.id, id, 0, atMs)).toBeNull();
    expect(await at(key.id)).toEqual(row);
    expect(await at(id)).toBeNull();
  });

  test("not what was never delivered, nor what is not there", async () => {
    const key = await db((session) => insertApiKey(session, keyWith(), NOW_MS));
    expect(await rotate(key.id, freshId(), 0)).toBeNull();
    expect(await rotate("key_none", freshId(), 0)).toBeNull();
  });

  test("ten at once leave one key: of a repeat the earlier one is withdrawn", async () => {
    const key = await issued();
    const rotations = await Promise.all(Array.from({ length: 10 }, () => rotate(key.id, freshId(), 1_000)));
    const made = rotations.flatMap((rotation) => (rotation === null ? [] : [rotation.fresh.id]));
    const rows = await Promise.all(made.map((id) => at(id)));
    const open = rows.filter((row) => row?.revokedAt === null);
    expect(open.map((row) => row?.id)).toEqual([(await at(key.id))?.replacedBy]);
  });
});

test("revoking twice keeps the first time", async () => {
  const { id } = await issued();
  await db((session) => revokeApiKey(session, id, NOW_MS + 1));
  expect(await db((session) => revokeApiKey(session, id, NOW_MS + 2))).toMatchObject({
    revokedAt: new Date(NOW_MS + 1),
    revision: 3,
  });
  expect(await db((session) => revokeApiKey(session, "key_none", NOW_MS))).toBeNull();
});

describe("listing", () => {
  const owner = `owner-${crypto.randomUUID()}`;
  const ids: string[] = [];
  beforeAll(async () => {
    // Two of each time: the id decides then.
    for (let age = 0; age < 6; age++) {
      const { id } = await issued({ owner, createdAt: new Date(NOW_MS - Math.floor(age / 2)) });
      ids.push(id);
    }
    await db((session) => revokeApiKey(session, ids[3] ?? "", NOW_MS));
  });
  const list = (changed: Partial<Parameters<typeof listApiKeys>[1]>) =>
    db((session) => listApiKeys(session, { owner, state: null, after: null, limit: 100, ...changed }, NOW_MS));

  test("page after page holds every key once, newest first", async () => {
    const seen: ApiKey[] = [];
    for (;;) {
      const page = await list({ limit: 2, after: seen.at(-1)?.id ?? null });
      if (page.length === 0) break;
      seen.push(...page);
    }
    expect(seen.map(({ id }) => id).sort()).toEqual([...ids].sort());
    expect(seen.map(({ createdAt }) => NOW_MS - createdAt.getTime())).toEqual([0, 0, 1, 1, 2, 2]);
  });

  test("by state", async () => {
    expect((await list({ state: "revoked" })).map(({ id }) => id)).toEqual([ids[3]]);
    expect(await list({ state: "active" })).toHaveLength(5);
    expect(await list({ state: "expired" })).toHaveLength(0);
  });

  test("behind a key that is not there is nothing", async () => {
    expect(await list({ after: "key_none" })).toHaveLength(0);
  });
});

describe("what the edge has to hear", () => {
  const toTell = async (sinceMs: number): Promise<string[]> =>
    (await db((session) => keysToTell(session, sinceMs, 10_000, NOW_MS))).map(({ id }) => id);
  const LATER_MS = NOW_MS + 100 * DAY_MS;

  test("a change, until it was told", async () => {
    const { id } = await issued();
    expect(await toTell(LATER_MS)).not.toContain(id);
    const revoked = await db((session) => revokeApiKey(session, id, NOW_MS));
    expect(await toTell(LATER_MS)).toContain(id);
    await db((session) => noteTold(session, [{ id, revision: 1 }]));
    expect(await toTell(LATER_MS)).toContain(id);
    await db((session) => noteTold(session, revoked === null ? [] : [revoked]));
    expect(await toTell(LATER_MS)).not.toContain(id);
  });

  test("what changed lately, told or not", async () => {
    const { id } = await issued();
    expect(await toTell(NOW_MS - 1)).toContain(id);
    expect(await toTell(NOW_MS)).not.toContain(id);
  });

  test("nothing of a key that nobody was shown, until that is withdrawn", async () => {
    const { id } = await db((session) => insertApiKey(session, keyWith(), NOW_MS));
    const delivered = await issued();
    expect(await toTell(0)).not.toContain(id);
    await db((session) => withdrawUndelivered(session, NOW_MS, NOW_MS + 1));
    expect((await at(id))?.state).toBe("undelivered");
    await db((session) => withdrawUndelivered(session, NOW_MS + 1, NOW_MS + 1));
    expect((await at(id))?.state).toBe("revoked");
    expect((await at(delivered.id))?.state).toBe("active");
    expect(await toTell(LATER_MS)).toContain(id);
  });
});

describe("last used", () => {
  // With the rights that the consumer has, and no others.
  const touch = (...uses: { id: string; atMs: number }[]) =>
    db((session) => transact(session, "causeway_writer", [apiKeysTouch(uses)]));

  test("is the newest use, in whatever order uses come", async () => {
    const { id } = await issued();
    await touch({ id, atMs: 2_000 }, { id, atMs: 3_000 }, { id, atMs: 1_000 }, { id: "key_none", atMs: 9_000 });
    expect((await at(id))?.lastUsedAt).toEqual(new Date(3_000));
    await touch({ id, atMs: 2_500 });
    expect((await at(id))?.lastUsedAt).toEqual(new Date(3_000));
    await touch();
  });

  test("is no change that the edge must hear of", async () => {
    const { id, revision } = await issued();
    await touch({ id, atMs: NOW_MS });
    expect((await at(id))?.revision).toBe(revision);
  });

  test("comes with the ledger's rows, also when they are delivered again", async () => {
    const { id } = await issued();
    const events = [NOW_MS + 1, NOW_MS + 2].map((atMs) => eventWith({ keyId: id, atMs }));
    const sent = [...events, eventWith(), eventWith({ keyId: "key_none" })].map((event) => ({ event }));
    await deliver(sent);
    await deliver(sent.slice(0, 1));
    expect((await at(id))?.lastUsedAt).toEqual(new Date(NOW_MS + 2));
  });

  test("batches at once, in opposite order, do not stop one another", async () => {
    const keys = await Promise.all([issued(), issued(), issued()]);
    const uses = keys.map(({ id }) => ({ id, atMs: NOW_MS }));
    const batches = Array.from({ length: 20 }, (_, round) => {
      const moved = uses.map((use) => ({ ...use, atMs: use.atMs + round }));
      return touch(...(round % 2 === 0 ? moved : moved.toReversed()));
    });
    await Promise.all(batches);
    for (const { id } of keys) expect((await at(id))?.lastUsedAt).toEqual(new Date(NOW_MS + 19));
  });
});
