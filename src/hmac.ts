/** Keyed hashes under the gateway's one secret, a different key for each purpose. Imports nothing. */

/** What a hash is for. */
export type Purpose = "api-key" | "cache" | "prefix" | "ticket";

/** Imported keys by purpose and secret: values, which any request may use. There are as many as purposes. */
const imported = new Map<string, CryptoKey>();

/**
 * HMAC-SHA-256 of a text.
 *
 * @param secret the gateway's CAUSEWAY_SECRET
 * @param purpose no purpose's hashes can be taken for another's
 */
export async function hmac(secret: string, purpose: Purpose, text: string): Promise<Uint8Array> {
  const utf8 = new TextEncoder();
  const name = `${purpose}:${secret}`;
  let key = imported.get(name);
  if (key === undefined) {
    key = await crypto.subtle.importKey("raw", utf8.encode(name), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    imported.set(name, key);
  }
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8.encode(text)));
}
