/**
 * The door: a request's credential to a principal, or a refusal. The same for HTTP, event streams and WebSockets, so it
 * takes a plain request and no framework's context. Every refusal reads the same from outside.
 */
import { Problem } from "#src/problem.ts";
import { apiKeyRecord, isWellFormedKey, kvKeyOf, principalOfKey } from "./api-key.ts";
import { type Issuer, verifyToken } from "./jwt.ts";
import type { Principal } from "./principal.ts";

export type Door = {
  readonly issuer: Issuer;
  readonly secret: string;
  /** Where API key records lie. */
  readonly kv: Pick<KVNamespace, "get">;
  readonly tierOf: (claim: unknown) => string;
  readonly fetcher: typeof fetch;
  readonly nowMs: number;
};

/** RFC 9110, 11.6.2: the scheme is case-insensitive; one space, one token. */
const BEARER = /^bearer ([^\s,]+)$/i;
/** The issuer is asked again by then. */
const RETRY_AFTER_S = 5;
/** The least that KV allows: a withdrawn key is refused this much later at most. */
const KV_CACHE_TTL_S = 30;

/**
 * Who sends this request.
 *
 * @throws Problem `invalid_api_key`, or `unavailable` when nobody can tell
 */
export async function authenticate(request: Request, door: Door): Promise<Principal> {
  const header = request.headers.get("authorization");
  const token = header === null ? undefined : BEARER.exec(header)?.[1];
  if (token === undefined) throw refusal(header === null ? null : "invalid_request", "no bearer token");
  if (token.startsWith("cw_")) return fromApiKey(token, door);
  const verdict = await verifyToken(token, door.issuer, door.tierOf, door.fetcher, door.nowMs);
  if (verdict.kind === "verified") return verdict.principal;
  if (verdict.kind === "refused") throw refusal("invalid_token", verdict.cause);
  throw new Problem("unavailable", { retryAfterS: RETRY_AFTER_S, cause: "the issuer's keys cannot be had" });
}

async function fromApiKey(text: string, door: Door): Promise<Principal> {
  if (!(await isWellFormedKey(text))) throw refusal("invalid_token", "the key's checksum is wrong");
  const stored: unknown = await door.kv
    .get(await kvKeyOf(door.secret, text), { type: "json", cacheTtl: KV_CACHE_TTL_S })
    .catch((cause: unknown) => {
      throw new Problem("unavailable", { retryAfterS: RETRY_AFTER_S, cause });
    });
  const record = apiKeyRecord.safeParse(stored);
  if (!record.success) throw refusal("invalid_token", "no such key");
  const principal = principalOfKey(record.data, door.nowMs);
  if (principal === null) throw refusal("invalid_token", "the key has expired");
  return { ...principal, tier: door.tierOf(principal.tier) };
}

/** RFC 6750, 3: no error code where no credential was sent. */
function refusal(error: "invalid_request" | "invalid_token" | null, cause: unknown): Problem {
  const challenge = error === null ? "" : `, error="${error}"`;
  return new Problem("invalid_api_key", {
    headers: { "www-authenticate": `Bearer realm="causeway"${challenge}` },
    cause,
  });
}
