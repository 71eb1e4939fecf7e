/**
 * Reading and writing `api_keys`, the system of record of API keys. Every change is one statement, raises the row's
 * revision, and so says that the edge (KV and the owner's Account object) has yet to be told; telling it is not done here.
 */
import type { Scope } from "#src/auth/principal.ts";
import type { Session } from "./session.ts";
import type { Statement } from "./transaction.ts";

/** What an issued key is, before anything happened to it. */
export type NewApiKey = {
  readonly id: string;
  /** HMAC of the key's text, as in the name of its record in KV. */
  readonly hash: string;
  readonly owner: string;
  readonly tier: string;
  readonly scopes: readonly Scope[];
  readonly label: string;
  readonly createdAt: Date;
  /** The ledger's user id of the administrator. */
  readonly createdBy: string;
  readonly expiresAt: Date;
};

export const API_KEY_STATES = [
  "active",
  /** Issued, but its text was never shown: nobody holds it. */
  "undelivered",
  /** Rotated, and still good until the overlap ends. */
  "retiring",
  "retired",
  "revoked",
  "expired",
] as const;
export type ApiKeyState = (typeof API_KEY_STATES)[number];

export type ApiKey = NewApiKey & {
  readonly retiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly replacedBy: string | null;
  readonly lastUsedAt: Date | null;
  /** When the holder was shown the text; null: never, so nobody holds it. */
  readonly deliveredAt: Date | null;
  /** Raised by every change. */
  readonly revision: number;
  readonly state: ApiKeyState;
};

const at = (parameter: string): string => `to_timestamp(${parameter}::double precision / 1000)`;

/** The state of row `k` at the time of a parameter, ms since the epoch. */
const stateAt = (parameter: string): string => `
  CASE
    WHEN k.revoked_at IS NOT NULL THEN 'revoked'
    WHEN k.expires_at <= ${at(parameter)} THEN 'expired'
    WHEN k.retires_at <= ${at(parameter)} THEN 'retired'
    WHEN k.retires_at IS NOT NULL THEN 'retiring'
    WHEN k.delivered_at IS NULL THEN 'undelivered'
    ELSE 'active'
  END`;

const columnsAt = (parameter: string): string => `
  k.id, k.hash, k.owner, k.tier, k.scopes, k.label, k.created_at AS "createdAt", k.created_by AS "createdBy",
  k.expires_at AS "expiresAt", k.retires_at AS "retiresAt", k.revoked_at AS "revokedAt", k.replaced_by AS "replacedBy",
  k.last_used_at AS "lastUsedAt", k.delivered_at AS "deliveredAt", k.revision, ${stateAt(parameter)} AS state`;

const INSERT = `
  INSERT INTO api_keys AS k (id, hash, owner, tier, scopes, label, created_at, created_by, expires_at, changed_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7)
  ON CONFLICT (id) DO UPDATE SET id = k.id
  RETURNING ${columnsAt("$10")}`;

/**
 * Enters an issued key; one of its id that is there already stays as it is.
 *
 * @returns the row as it stands at `nowMs`
 */
export async function insertApiKey(session: Session, key: NewApiKey, nowMs: number): Promise<ApiKey> {
  const { id, hash, owner, tier, scopes, label, createdAt, createdBy, expiresAt } = key;
  const values = [id, hash, owner, tier, scopes, label, createdAt, createdBy, expiresAt, nowMs];
  const { rows } = await session.query<ApiKey>(INSERT, values);
  const [row] = rows;
  if (row === undefined) throw new Error("the database inserted no row");
  return row;
}

const FIND = `SELECT ${columnsAt("$2")} FROM api_keys k WHERE k.id = $1`;

/** The key of an id, or null. */
export async function findApiKey(session: Session, id: string, nowMs: number): Promise<ApiKey | null> {
  const { rows } = await session.query<ApiKey>(FIND, [id, nowMs]);
  return rows[0] ?? null;
}

export type ApiKeyFilter = {
  readonly owner: string | null;
  readonly state: ApiKeyState | null;
  /** Id of the last key of the page before. */
  readonly after: string | null;
  readonly limit: number;
};

const LIST = `
  SELECT ${columnsAt("$5")} FROM api_keys k
  WHERE ($1::text IS NULL OR k.owner = $1)
    AND ($2::text IS NULL OR ${stateAt("$5")} = $2)
    AND ($3::text IS NULL OR (k.created_at, k.id) < (SELECT p.created_at, p.id FROM api_keys p WHERE p.id = $3))
  ORDER BY k.created_at DESC, k.id DESC
  LIMIT $4`;

/** Keys, newest first. Rows are never deleted, so a page goes on where the last one ended whatever came in between. */
export async function listApiKeys(session: Session, filter: ApiKeyFilter, nowMs: number): Promise<ApiKey[]> {
  const { owner, state, after, limit } = filter;
  const { rows } = await session.query<ApiKey>(LIST, [owner, state, after, limit, nowMs]);
  return rows;
}

const ROTATE = `
  WITH old AS (
    UPDATE api_keys k
    SET retires_at = least(k.retires_at, ${at("$5")}), replaced_by = $2, changed_at = ${at("$4")},
      revision = k.revision + 1
    WHERE k.id = $1 AND k.revoked_at IS NULL AND k.expires_at > ${at("$4")} AND k.delivered_at IS NOT NULL
      AND (k.replaced_by IS NULL
        OR EXISTS (SELECT FROM api_keys n WHERE n.id = k.replaced_by AND n.delivered_at IS NULL))
    RETURNING k.*
  ), withdrawn AS (
    UPDATE api_keys k
    SET revoked_at = coalesce(k.revoked_at, ${at("$4")}), changed_at = ${at("$4")}, revision = k.revision + 1
    FROM api_keys before, old
    WHERE before.id = $1 AND k.id = before.replaced_by AND k.delivered_at IS NULL
    RETURNING k.*
  ), fresh AS (
    INSERT INTO api_keys (id, hash, owner, tier, scopes, label, created_at, created_by, expires_at, changed_at)
    SELECT $2, $3, owner, tier, scopes, label, ${at("$4")}, $6, ${at("$4")} + (expires_at - created_at), ${at("$4")}
    FROM old
    RETURNING *
  )
  SELECT ${columnsAt("$4")} FROM (
    SELECT * FROM fresh UNION ALL SELECT * FROM withdrawn UNION ALL SELECT * FROM old) AS k`;

export type Rotation = {
  readonly old: ApiKey;
  readonly fresh: ApiKey;
  /** What an earlier rotation made and never delivered. */
  readonly withdrawn: ApiKey | null;
};

/**
 * Replaces a key by a fresh one of the same grant and length of life. A rotation whose fresh key was never delivered
 * may be repeated: that key is withdrawn, and of the two ends of the old one the earlier stays.
 *
 * @param fresh the new key's id and hash
 * @param retiresAtMs when the old one ends
 * @param by the ledger's user id of the administrator
 * @returns null when there is no such key, or none that can be rotated
 */
export async function rotateApiKey(
  session: Session,
  id: string,
  fresh: Pick<NewApiKey, "id" | "hash">,
  retiresAtMs: number,
  by: string,
  nowMs: number,
): Promise<Rotation | null> {
  const { rows } = await session.query<ApiKey>(ROTATE, [id, fresh.id, fresh.hash, nowMs, retiresAtMs, by]);
  const old = rows.find((row) => row.id === id);
  const made = rows.find((row) => row.id === fresh.id);
  if (old === undefined || made === undefined) return null;
  return { old, fresh: made, withdrawn: rows.find((row) => row !== old && row !== made) ?? null };
}

const REVOKE = `
  UPDATE api_keys k
  SET revoked_at = coalesce(k.revoked_at, ${at("$2")}), changed_at = ${at("$2")}, revision = k.revision + 1
  WHERE k.id = $1
  RETURNING ${columnsAt("$2")}`;

/** Revokes a key; one that was revoked before keeps the time of that. @returns null when there is no such key */
export async function revokeApiKey(session: Session, id: string, nowMs: number): Promise<ApiKey | null> {
  const { rows } = await session.query<ApiKey>(REVOKE, [id, nowMs]);
  return rows[0] ?? null;
}

const DELIVER = `
  UPDATE api_keys k
  SET delivered_at = ${at("$3")}, edge_revision = greatest(k.edge_revision, $2)
  WHERE k.id = $1 AND k.revoked_at IS NULL AND k.delivered_at IS NULL
  RETURNING ${columnsAt("$3")}`;

/**
 * Notes that the edge knows a fresh key and that its text is about to be shown.
 *
 * @returns the row; null when the key was withdrawn meanwhile
 */
export async function deliverApiKey(
  session: Session,
  { id, revision }: Pick<ApiKey, "id" | "revision">,
  nowMs: number,
): Promise<ApiKey | null> {
  const { rows } = await session.query<ApiKey>(DELIVER, [id, revision, nowMs]);
  return rows[0] ?? null;
}

const NOTE_TOLD = `
  UPDATE api_keys k SET edge_revision = u.revision
  FROM unnest($1::text[], $2::integer[]) AS u (id, revision)
  WHERE k.id = u.id AND k.edge_revision < u.revision`;

/** Notes which revisions the edge was told. */
export async function noteTold(session: Session, keys: readonly Pick<ApiKey, "id" | "revision">[]): Promise<void> {
  await session.query(NOTE_TOLD, [keys.map(({ id }) => id), keys.map(({ revision }) => revision)]);
}

const WITHDRAW = `
  UPDATE api_keys
  SET revoked_at = ${at("$1")}, changed_at = ${at("$1")}, revision = revision + 1
  WHERE delivered_at IS NULL AND revoked_at IS NULL AND created_at < ${at("$2")}`;

/** Revokes what was issued before a time and never delivered: nobody holds its text, so nobody misses it. */
export async function withdrawUndelivered(session: Session, createdBeforeMs: number, nowMs: number): Promise<void> {
  await session.query(WITHDRAW, [nowMs, createdBeforeMs]);
}

const TO_TELL = `
  SELECT ${columnsAt("$1")} FROM api_keys k
  WHERE (k.edge_revision < k.revision OR k.changed_at > ${at("$2")})
    AND (k.delivered_at IS NOT NULL OR k.revoked_at IS NOT NULL)
  ORDER BY (k.edge_revision < k.revision) DESC, k.changed_at DESC, k.id
  LIMIT $3`;

/** Keys of which the edge has not heard the newest, then those that changed since a time. */
export async function keysToTell(
  session: Session,
  changedSinceMs: number,
  limit: number,
  nowMs: number,
): Promise<ApiKey[]> {
  const { rows } = await session.query<ApiKey>(TO_TELL, [nowMs, changedSinceMs, limit]);
  return rows;
}

// Locked in one order, so that two batches at once cannot wait for each other in a circle.
const TOUCH = `
  WITH used AS (
    SELECT u.id, max(u.at_ms) AS at_ms FROM unnest($1::text[], $2::double precision[]) AS u (id, at_ms) GROUP BY u.id
  ), locked AS (
    SELECT k.id, ${at("used.at_ms")} AS at FROM api_keys k JOIN used USING (id)
    WHERE k.last_used_at IS NULL OR k.last_used_at < ${at("used.at_ms")}
    ORDER BY k.id FOR UPDATE OF k
  )
  UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, locked.at) FROM locked WHERE k.id = locked.id`;

/** Notes when keys were used. Uses may come in any order, and repeatedly; of unknown ids nothing is kept. */
export function apiKeysTouch(uses: readonly { readonly id: string; readonly atMs: number }[]): Statement {
  return { text: TOUCH, values: [uses.map(({ id }) => id), uses.map(({ atMs }) => atMs)] };
}
