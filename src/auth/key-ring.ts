/**
 * An issuer's keys as one isolate holds them: when they are asked for, by whom, and how long they may be used. One
 * question at a time per isolate, without a promise that two requests share: whoever asks leaves a mark, and the others
 * watch for its outcome. The document itself is read in `key-set.ts`.
 */
import { createLocalJWKSet, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import { z } from "zod";
import { readBounded } from "#src/bytes.ts";
import { MAX_KEYS, usableKeys } from "./key-set.ts";

/** A key that the issuer withdrew is refused within ten minutes, while the issuer answers: half a minute is for asking. */
const FRESH_FOR_MS = 9.5 * 60_000;
/** From this age on keys are asked for behind a request, so that none waits; spread, so that isolates do not ask at once. */
const REFRESH_AFTER_MS = { least: 7 * 60_000, spread: 90_000 };
/** With the issuer down, known keys go on serving this long. */
const KEPT_FOR_MS = 24 * 3_600_000;
/** Between questions. Counted from attempts, not successes, so that neither a dead issuer nor made-up key ids make more. */
const COOLDOWN_MS = 30_000;
const FETCH_WITHIN_MS = 3_000;
const MAX_DOCUMENT_BYTES = 64 * 1024;
/** How often a waiting request looks whether another one's question has been answered. */
const WATCH_EVERY_MS = 15;

export type KeyRing = {
  readonly issuer: string;
  keys: JWTVerifyGetKey | null;
  kids: ReadonlySet<string>;
  fetchedAtMs: number;
  /** The purge that these keys were fetched after; an admin's purge raises it for all. */
  epoch: number;
  attemptedAtMs: number;
  attempting: boolean;
  /** KV has said what it has, so that it need not be asked again. */
  copyRead: boolean;
};

export type KeyRingWorld = {
  readonly fetcher: typeof fetch;
  readonly kv: Pick<KVNamespace, "get" | "put">;
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Keeps work alive when the request that began it ends (`waitUntil`). */
  readonly defer: (work: Promise<void>) => void;
  /** The newest purge, see `KeyRing.epoch`. */
  readonly epoch: number;
};

export function newKeyRing(issuer: string): KeyRing {
  const never = Number.NEGATIVE_INFINITY;
  const marks = { epoch: 0, attemptedAtMs: never, attempting: false, copyRead: false };
  return { issuer, keys: null, kids: new Set(), fetchedAtMs: never, ...marks };
}

/** The keys now in hand, and whether they hold the one wanted; null when the issuer's keys cannot be had. */
export type KeysInHand = { readonly keys: JWTVerifyGetKey; readonly hasKid: boolean };

/**
 * Keys to verify a token of this issuer that names the key `kid`.
 *
 * @returns null when nothing usable is in hand and the issuer does not answer
 */
export async function keysFor(ring: KeyRing, kid: string, world: KeyRingWorld): Promise<KeysInHand | null> {
  // Only forwards: a request that read the epoch before others heard of the purge must not bring the old one back.
  if (world.epoch > ring.epoch) forget(ring, world.epoch);
  if (ring.keys === null && !ring.copyRead) await adoptCopy(ring, world);
  const ageMs = world.now() - ring.fetchedAtMs;
  const refreshAfterMs = REFRESH_AFTER_MS.least + world.random() * REFRESH_AFTER_MS.spread;
  const mustAsk = ring.keys === null || ageMs >= FRESH_FOR_MS || !ring.kids.has(kid);
  if (mustAsk) await ask(ring, kid, world);
  else if (ageMs >= refreshAfterMs && !isAttempting(ring, world) && !isCooling(ring, world))
    world.defer(attempt(ring, world));
  if (ring.keys === null || world.now() - ring.fetchedAtMs >= KEPT_FOR_MS) return null;
  return { keys: ring.keys, hasKid: ring.kids.has(kid) };
}

function forget(ring: KeyRing, epoch: number): void {
  ring.keys = null;
  ring.kids = new Set();
  ring.fetchedAtMs = Number.NEGATIVE_INFINITY;
  ring.attemptedAtMs = Number.NEGATIVE_INFINITY;
  ring.attempting = false;
  ring.copyRead = false;
  ring.epoch = epoch;
}

/** Asks the issuer, or waits for whoever is asking, or lets it be while it was asked just now. */
async function ask(ring: KeyRing, kid: string, world: KeyRingWorld): Promise<void> {
  while (isAttempting(ring, world)) {
    if (ring.kids.has(kid)) return;
    await scheduler.wait(WATCH_EVERY_MS);
  }
  // A mark that is still there was left by a request that died: nobody will answer its question.
  if (isCooling(ring, world) && !ring.attempting) return;
  const work = attempt(ring, world);
  // The question outlives the request that asked it: others are waiting for its outcome.
  world.defer(work);
  await work;
}

function isAttempting(ring: KeyRing, world: KeyRingWorld): boolean {
  // A mark that is older than any question can take was left by a request that died.
  return ring.attempting && world.now() - ring.attemptedAtMs < 2 * FETCH_WITHIN_MS;
}

function isCooling(ring: KeyRing, world: KeyRingWorld): boolean {
  return world.now() - ring.attemptedAtMs < COOLDOWN_MS;
}

/** One question to the issuer. Never rejects. */
async function attempt(ring: KeyRing, world: KeyRingWorld): Promise<void> {
  const { epoch } = ring;
  ring.attempting = true;
  ring.attemptedAtMs = world.now();
  try {
    const keys = usableKeys(await fetchKeySet(ring.issuer, world.fetcher));
    // A purge while the answer was on its way: it may hold what was purged.
    if (ring.epoch !== epoch) return;
    hold(ring, keys, world.now());
    world.defer(keepCopy(ring, keys, world.kv));
  } catch (cause) {
    console.error(
      JSON.stringify({ at: "auth.keys", issuer: ring.issuer, cause: cause instanceof Error ? cause.name : "unknown" }),
    );
  } finally {
    // After a purge the mark is another question's.
    if (ring.epoch === epoch) ring.attempting = false;
  }
}

function hold(ring: KeyRing, keys: JSONWebKeySet["keys"], fetchedAtMs: number): void {
  ring.keys = createLocalJWKSet({ keys });
  ring.kids = new Set(keys.flatMap(({ kid }) => (kid === undefined ? [] : [kid])));
  ring.fetchedAtMs = fetchedAtMs;
}

const discovery = z.object({ issuer: z.string().optional(), jwks_uri: z.url({ protocol: /^https?$/ }) });

async function fetchKeySet(issuer: string, fetcher: typeof fetch): Promise<unknown> {
  // One deadline for both documents.
  const signal = AbortSignal.timeout(FETCH_WITHIN_MS);
  const configuration = await fetchJson(
    `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`,
    fetcher,
    signal,
  );
  const { jwks_uri, issuer: named } = discovery.parse(configuration);
  // OpenID Connect Discovery 4.3: the document speaks for the issuer that it names and for no other.
  if (named !== undefined && named !== issuer) throw new Error("a discovery document of another issuer");
  // On the way from an http address anybody could put in a key of their own.
  if (issuer.startsWith("https:") && !jwks_uri.startsWith("https:")) throw new Error("a key set without TLS");
  return fetchJson(jwks_uri, fetcher, signal);
}

async function fetchJson(url: string, fetcher: typeof fetch, signal: AbortSignal): Promise<unknown> {
  const response = await fetcher(url, { headers: { accept: "application/json" }, redirect: "manual", signal });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status}`);
  }
  const bytes = await readBounded(response, MAX_DOCUMENT_BYTES);
  if (bytes === null) throw new Error(`${url} is larger than ${MAX_DOCUMENT_BYTES} bytes`);
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** What lies in KV under `jwks:<issuer>`, so that a cold isolate starts warm and survives an issuer that is down. */
const copy = z.object({
  v: z.literal(1),
  epoch: z.number().int(),
  fetchedAtMs: z.number(),
  keys: z.array(z.unknown()).max(MAX_KEYS),
});

async function adoptCopy(ring: KeyRing, { kv }: KeyRingWorld): Promise<void> {
  const stored: unknown = await kv.get(`jwks:${ring.issuer}`, { type: "json", cacheTtl: 60 }).catch(() => undefined);
  // Not marked before it is read: the request that reads may die, and KV may be back for the next one.
  if (stored === undefined) return;
  ring.copyRead = true;
  const parsed = copy.safeParse(stored);
  // Checked anew: what lies in a store is not what was put there until it is seen to be. By the ring's epoch as it is
  // now: a purge may have come while it was read.
  if (parsed.success && parsed.data.epoch === ring.epoch && ring.keys === null) {
    hold(ring, usableKeys({ keys: parsed.data.keys }), parsed.data.fetchedAtMs);
  }
}

async function keepCopy(
  { issuer, epoch, fetchedAtMs }: KeyRing,
  keys: JSONWebKeySet["keys"],
  kv: Pick<KVNamespace, "put">,
): Promise<void> {
  const value: z.infer<typeof copy> = { v: 1, epoch, fetchedAtMs, keys };
  await kv
    .put(`jwks:${issuer}`, JSON.stringify(value), { expirationTtl: KEPT_FOR_MS / 1000 })
    .catch((cause: unknown) => {
      console.error(JSON.stringify({ at: "auth.keys.copy", issuer, cause: String(cause) }));
    });
}
