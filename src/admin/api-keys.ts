/**
 * `/admin/keys`: API keys issued, listed, rotated and revoked. Of every change the database hears first, then the edge;
 * where the edge cannot be told the answer is 503, a repeat completes the change, and so does the minute's cron
 * (`api-key-reconcile.ts`). A fresh key's text leaves only when all have heard of it: one that was not shown is held by
 * nobody, and is withdrawn.
 */
import { hashIn, mintApiKey } from "#src/auth/api-key.ts";
import { askDatabase } from "#src/ingress/ask-database.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { type Act, recordAct } from "#src/ingress/record.ts";
import {
  type ApiKey,
  deliverApiKey,
  findApiKey,
  insertApiKey,
  listApiKeys,
  noteTold,
  revokeApiKey,
  rotateApiKey,
} from "#src/postgres/api-keys.ts";
import { asProblem, Problem } from "#src/problem.ts";
import { tellEdge } from "./api-key-edge.ts";
import { filterOf, grantOf, keyIdOf, overlapMsOf } from "./api-key-requests.ts";

const DAY_MS = 86_400_000;
const RETRY_AFTER_S = 2;

/**
 * `POST /admin/keys`: 201 with the key's text, which is not shown again.
 *
 * @throws Problem for a wrong body, or `unavailable`; after that no key is left behind
 */
export function issueKey(call: KnownCall): Promise<Response> {
  return recorded(call, "key.issue", null, async (note) => {
    const { expiresInDays, ...grant } = await grantOf(call.request, call.catalog.tiers);
    const nowMs = Date.now();
    const { key, id, kvKey } = await mintApiKey(call.env.CAUSEWAY_SECRET, randomBytes);
    const expiresAt = new Date(nowMs + expiresInDays * DAY_MS);
    note(id, { owner: grant.owner, tier: grant.tier, scopes: grant.scopes.join(" "), expiresAt: expiresAt.toJSON() });
    const who = { createdAt: new Date(nowMs), createdBy: call.principal.userId };
    const row = { ...grant, ...who, id, hash: hashIn(kvKey), expiresAt };
    const fresh = await askDatabase(call, (session) => insertApiKey(session, row, nowMs));
    return Response.json({ key, ...shown(await delivered(call, fresh, [])) }, { status: 201 });
  });
}

/**
 * `GET /admin/keys`: a page of keys, newest first, without any key's text or hash.
 *
 * @throws Problem `invalid_value` or `unavailable`
 */
export async function listKeys(call: KnownCall): Promise<Response> {
  const filter = filterOf(call.request.url);
  // One more than asked for tells whether there is a next page.
  const rows = await askDatabase(call, (session) =>
    listApiKeys(session, { ...filter, limit: filter.limit + 1 }, Date.now()),
  );
  const data = rows.slice(0, filter.limit);
  return Response.json({ data: data.map(shown), next: rows.length > data.length ? (data.at(-1)?.id ?? null) : null });
}

/**
 * `POST /admin/keys/{id}/rotate`: 201 with the text of a fresh key of the same grant; the old one ends after the overlap.
 *
 * @throws Problem `key_not_found`, `key_not_active`, `unavailable`, or for a wrong body
 */
export function rotateKey(call: KnownCall, parameter: string): Promise<Response> {
  const id = keyIdOf(parameter);
  return recorded(call, "key.rotate", id, async (note) => {
    const overlapMs = await overlapMsOf(call.request);
    const nowMs = Date.now();
    const { key, id: freshId, kvKey } = await mintApiKey(call.env.CAUSEWAY_SECRET, randomBytes);
    const text = { id: freshId, hash: hashIn(kvKey) };
    const { old, fresh, withdrawn } = await askDatabase(call, async (session) => {
      const rotation = await rotateApiKey(session, id, text, nowMs + overlapMs, call.principal.userId, nowMs);
      return rotation ?? refuseRotation(await findApiKey(session, id, nowMs));
    });
    note(id, { owner: old.owner, replacedBy: freshId, retiresAt: old.retiresAt?.toJSON() ?? null });
    const others = withdrawn === null ? [old] : [withdrawn, old];
    const replaces = { id, retiresAt: old.retiresAt };
    return Response.json({ key, ...shown(await delivered(call, fresh, others)), replaces }, { status: 201 });
  });
}

/**
 * `DELETE /admin/keys/{id}`: from the answer on nothing new is admitted with the key. Safe to repeat.
 *
 * @throws Problem `key_not_found` or `unavailable`
 */
export function revokeKey(call: KnownCall, parameter: string): Promise<Response> {
  const id = keyIdOf(parameter);
  return recorded(call, "key.revoke", id, async (note) => {
    const revoked = await askDatabase(call, (session) => revokeApiKey(session, id, Date.now()));
    if (revoked === null) throw new Problem("key_not_found");
    note(id, { owner: revoked.owner });
    await told(call, [revoked]);
    await askDatabase(call, (session) => noteTold(session, [revoked]));
    return Response.json(shown(revoked));
  });
}

/** Makes a fresh key known everywhere, and tells of the others that changed with it; the row as it then stands. */
async function delivered(call: KnownCall, fresh: ApiKey, others: readonly ApiKey[]): Promise<ApiKey> {
  await told(call, [fresh, ...others]);
  return askDatabase(call, async (session) => {
    if (others.length > 0) await noteTold(session, others);
    const row = await deliverApiKey(session, fresh, Date.now());
    if (row === null) throw new Problem("key_not_active", { message: "The key was rotated again meanwhile." });
    return row;
  });
}

/** One after the other: an old key does not end where the fresh one is not known. */
async function told(call: KnownCall, keys: readonly ApiKey[]): Promise<void> {
  try {
    for (const key of keys) await tellEdge(key, call.env, Date.now());
  } catch (cause) {
    const message = "The change is in the database, but not yet everywhere. Repeat the request to complete it.";
    throw new Problem("unavailable", { message, retryAfterS: RETRY_AFTER_S, cause });
  }
}

function refuseRotation(key: ApiKey | null): never {
  if (key === null) throw new Problem("key_not_found");
  const successor = key.replacedBy === null ? "" : `, and was replaced by ${key.replacedBy}`;
  const message = `The key is ${key.state}${successor}. Issue a new one, or rotate one that is active.`;
  throw new Problem("key_not_active", { message });
}

/** Does the work and records the act, whatever becomes of it. */
async function recorded(
  call: KnownCall,
  action: string,
  target: string | null,
  work: (note: (target: string, detail: NonNullable<Act["detail"]>) => void) => Promise<Response>,
): Promise<Response> {
  let act: Pick<Act, "target"> & { detail: NonNullable<Act["detail"]> } = { target, detail: {} };
  try {
    const response = await work((id, detail) => {
      act = { target: id, detail };
    });
    recordAct(call, { action, outcome: "ok", ...act });
    return response;
  } catch (thrown) {
    recordAct(call, { action, outcome: "failed", ...act, detail: { ...act.detail, code: asProblem(thrown).code } });
    throw thrown;
  }
}

/** A key as administrators see it. */
function shown(key: ApiKey) {
  const { hash: _hash, revision: _revision, deliveredAt: _deliveredAt, ...open } = key;
  return open;
}

function randomBytes(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}
