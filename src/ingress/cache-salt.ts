/**
 * What parts a host's prefix cache: who may find out, by how soon an answer begins, what others have asked before.
 * Callers of one tenant share what their prompts begin with; nobody else does.
 */
import { base64url } from "jose";
import { hmac } from "#src/hmac.ts";
import type { KnownCall } from "./call.ts";

/** An owner's salt never changes, and each answer of Web Crypto enters JS anew. */
const salts = new Map<string, string>();
/** About 200 bytes each. */
const MOST_REMEMBERED = 5_000;

/**
 * vLLM's `cache_salt` for one caller: an HMAC of 256 bits, because a salt that can be guessed parts nothing. In
 * base64url: newer builds refuse a slash in it.
 *
 * @param principal the tenant counts; a caller without one is a tenant of its own
 */
export async function cacheSaltOf(
  { tenant, accountId }: Pick<KnownCall["principal"], "tenant" | "accountId">,
  secret: string,
): Promise<string> {
  const owner = tenant === null ? `account:${accountId}` : `tenant:${tenant.id}`;
  const name = `${secret}\n${owner}`;
  const known = salts.get(name);
  if (known !== undefined) return known;
  const mac = await hmac(secret, "prefix", owner);
  const salt = base64url.encode(mac);
  if (salts.size >= MOST_REMEMBERED) salts.clear();
  salts.set(name, salt);
  return salt;
}
