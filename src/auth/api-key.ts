/**
 * API keys for machines. The text is `cw_` + 32 random bytes + a 4-byte checksum, base64url: a typo is told from a
 * revoked key without a look-up. Only HMAC-SHA-256(pepper, text) is stored, so a stolen store opens nothing, and a
 * look-up by that hash leaks no timing about the text. Pure but for Web Crypto; chance is an argument.
 */
import { base64url } from "jose";
import { z } from "zod";
import type { Catalog } from "#src/catalog/schema.ts";
import { hmac } from "#src/hmac.ts";
import { type Principal, rolesBehind, SCOPES, tierOf } from "./principal.ts";

const PREFIX = "cw_";
const KV_PREFIX = "key:";
const SECRET_BYTES = 32;
const CHECKSUM_BYTES = 4;
/** 36 bytes are 48 base64url characters without padding. */
const KEY_TEXT = /^cw_[A-Za-z0-9_-]{48}$/;

/** The value behind `key:<hash>` in KV. */
export const apiKeyRecord = z.object({
  v: z.literal(1),
  id: z.string(),
  owner: z.string(),
  tier: z.string(),
  scopes: z.array(z.enum(SCOPES)),
  label: z.string(),
  expiresAtMs: z.number().int(),
});
export type ApiKeyRecord = z.infer<typeof apiKeyRecord>;

/** A key's text, its id, and the name of its record. */
export type ApiKeyText = { readonly key: string; readonly id: string; readonly kvKey: string };
export type IssuedApiKey = ApiKeyText & { readonly record: ApiKeyRecord };

/**
 * Makes a key's text. It is shown once and stored nowhere.
 *
 * @param secret the gateway's CAUSEWAY_SECRET, from which the pepper is derived
 * @param random yields that many unpredictable bytes
 */
export async function mintApiKey(secret: string, random: (bytes: number) => Uint8Array): Promise<ApiKeyText> {
  const body = Uint8Array.from(random(SECRET_BYTES));
  const key = PREFIX + base64url.encode(new Uint8Array([...body, ...(await checksum(body))]));
  return { key, id: `key_${base64url.encode(random(9))}`, kvKey: await kvKeyOf(secret, key) };
}

/**
 * Makes a key with its record.
 *
 * @param grant what the key may do and until when (ms since the epoch)
 */
export async function issueApiKey(
  secret: string,
  grant: Omit<ApiKeyRecord, "v" | "id">,
  random: (bytes: number) => Uint8Array,
): Promise<IssuedApiKey> {
  const text = await mintApiKey(secret, random);
  return { ...text, record: { v: 1, id: text.id, ...grant } };
}

/** True for a text that has the form and checksum of a key; false for a typo. */
export async function isWellFormedKey(text: string): Promise<boolean> {
  if (!KEY_TEXT.test(text)) return false;
  const bytes = Uint8Array.from(base64url.decode(text.slice(PREFIX.length)));
  const expected = await checksum(bytes.subarray(0, SECRET_BYTES));
  return expected.every((byte, at) => byte === bytes[SECRET_BYTES + at]);
}

/** The KV key under which a key's record lies: `key:` + HMAC-SHA-256 in base64url. */
export async function kvKeyOf(secret: string, text: string): Promise<string> {
  return kvKeyFor(base64url.encode(await hmac(secret, "api-key", text)));
}

/** The name of a key's record in KV, by the hash that Postgres holds. */
export function kvKeyFor(hash: string): string {
  return KV_PREFIX + hash;
}

/** The other way round. */
export function hashIn(kvKey: string): string {
  return kvKey.slice(KV_PREFIX.length);
}

/** The principal a record stands for, or null when it has expired at `nowMs`. */
export function principalOfKey(record: ApiKeyRecord, tiers: Catalog["tiers"], nowMs: number): Principal | null {
  if (nowMs >= record.expiresAtMs) return null;
  return {
    accountId: accountOfKey(record.owner),
    // An owner is a name that administrators chose; no issuer said whose it is.
    tenant: null,
    userId: record.owner,
    tier: tierOf(record.tier, tiers),
    roles: rolesBehind(record.scopes),
    scopes: record.scopes,
    keyId: record.id,
  };
}

/** The Account object that counts for a key's owner, and knows which of the owner's keys are retired. */
export function accountOfKey(owner: string): string {
  return `key|${owner}`;
}

async function checksum(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).subarray(0, CHECKSUM_BYTES);
}
