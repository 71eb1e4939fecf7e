/**
 * What parts a host's prefix cache: who may find out, by how soon an answer begins, what others have asked before.
 * Callers of one tenant share what their prompts begin with; nobody else does.
 */
import { hmac } from "#src/hmac.ts";
import type { KnownCall } from "./call.ts";

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
  const mac = await hmac(secret, "prefix", owner);
  return btoa(String.fromCharCode(...mac))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
