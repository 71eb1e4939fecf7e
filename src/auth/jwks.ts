/**
 * An issuer's signing keys: found by discovery, remembered by the isolate, kept when the issuer is down.
 * What is remembered are values, never promises: a promise of one request must not be awaited by another on Workers.
 */
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { z } from "zod";
import { readBounded } from "#src/bytes.ts";

/** Keys are fetched anew after this; a key that the issuer withdrew is refused no later. */
const FRESH_FOR_MS = 10 * 60_000;
/** With the issuer down, known keys go on serving this long. */
const KEPT_FOR_MS = 24 * 3_600_000;
/** Between fetches for a key id that is not known; counted from attempts, so that a dead issuer is not hammered. */
const COOLDOWN_MS = 30_000;
const FETCH_WITHIN_MS = 3_000;
const MAX_DOCUMENT_BYTES = 64 * 1024;

const discovery = z.object({ jwks_uri: z.url({ protocol: /^https?$/ }) });
const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(32) });

/** What the isolate knows of one issuer. */
export type KeyMemory = { keys: JWTVerifyGetKey | null; fetchedAtMs: number; attemptedAtMs: number };

export const newKeyMemory = (): KeyMemory => ({ keys: null, fetchedAtMs: 0, attemptedAtMs: Number.NEGATIVE_INFINITY });

/**
 * The issuer's keys, from memory while fresh.
 *
 * @param wanted `known` serves what is remembered; `unknown-kid` asks the issuer again unless it was asked just now
 * @returns null when the issuer cannot be reached and nothing usable is remembered
 */
export async function keysOf(
  issuer: string,
  memory: KeyMemory,
  wanted: "known" | "unknown-kid",
  fetcher: typeof fetch,
  nowMs: number,
): Promise<JWTVerifyGetKey | null> {
  const ageMs = nowMs - memory.fetchedAtMs;
  const coolingDown = nowMs - memory.attemptedAtMs < COOLDOWN_MS;
  const good = memory.keys !== null && ageMs < FRESH_FOR_MS && wanted === "known";
  if (good || (memory.keys !== null && coolingDown)) return ageMs < KEPT_FOR_MS ? memory.keys : null;
  memory.attemptedAtMs = nowMs;
  try {
    const { jwks_uri } = discovery.parse(
      await fetchJson(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, fetcher),
    );
    const set = keySet.parse(await fetchJson(jwks_uri, fetcher)) as JSONWebKeySet;
    memory.keys = createLocalJWKSet({ keys: set.keys.filter(isSafe) });
    memory.fetchedAtMs = nowMs;
  } catch (cause) {
    console.error(JSON.stringify({ at: "auth.jwks", issuer, cause: String(cause) }));
  }
  return nowMs - memory.fetchedAtMs < KEPT_FOR_MS ? memory.keys : null;
}

/** Public signing keys only: a symmetric key in a public set would let anyone sign. */
function isSafe(key: JSONWebKeySet["keys"][number]): boolean {
  return key.kty !== "oct" && key.d === undefined && (key.use === undefined || key.use === "sig");
}

async function fetchJson(url: string, fetcher: typeof fetch): Promise<unknown> {
  const response = await fetcher(url, {
    headers: { accept: "application/json" },
    redirect: "manual",
    signal: AbortSignal.timeout(FETCH_WITHIN_MS),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status}`);
  }
  const bytes = await readBounded(response.body, MAX_DOCUMENT_BYTES);
  if (bytes === null) throw new Error(`${url} is larger than ${MAX_DOCUMENT_BYTES} bytes`);
  return JSON.parse(new TextDecoder().decode(bytes));
}
