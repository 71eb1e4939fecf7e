/**
 * Warmth: requests that begin alike prefer one host, whose prefix cache holds their beginning, as long as that makes
 * nobody carry more than 1.25 times its fair share of this isolate's work. No I/O; the clock is an argument.
 *
 * Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads",
 * 2018), c = 1.2, over the order of `rendezvous.ts`. Each isolate bounds its own work; so the sum of all is bounded.
 *
 * No text is kept: of what a request begins with only a hash is, for as long as the request.
 */
import { drawOf, hash32 } from "./rendezvous.ts";
import type { Candidate } from "./standing.ts";
import { pairKey } from "./view.ts";
import type { Weighed } from "./weigh.ts";

/** What a request is known by. */
export type Beginning = {
  readonly account: string;
  /** Name or id of the caller's organisation. */
  readonly tenant: string | null;
  /** The header `x-session-id`. */
  readonly session: string | null;
  /** The request's own field `user`. */
  readonly user: string | null;
  /** What the prompt begins with. */
  readonly opening: string;
};

/** About 128 tokens, eight of an engine's cache blocks: with less in common there is little to gain. */
const LEAST_CHARACTERS = 512;
/** Two prompts that have this in common have their system prompt in common. */
export const MOST_CHARACTERS = 1_024;
const LONGEST_USER = 256;

/**
 * The key of what a request has in common with others: its session or user where it names one, for an engine has the
 * whole conversation warm; else a long beginning, which other accounts of the tenant may share. Null where there is
 * nothing to be gained. Holds a hash and no text.
 */
export function affinityKey({ account, tenant, session, user, opening }: Beginning): string | null {
  if (session !== null && session !== "") return keyOf("session", account, session);
  if (user !== null && user !== "") return keyOf("user", account, user.slice(0, LONGEST_USER));
  return opening.length < LEAST_CHARACTERS ? null : keyOf("opening", tenant ?? "", opening.slice(0, MOST_CHARACTERS));
}

/** 64 bits: of a million keys two are alike once in thirty million times. The second basis is the golden ratio's. */
function keyOf(kind: string, owner: string, what: string): string {
  const text = `${kind}\n${owner}\n${what}`;
  return hash32(text).toString(36) + hash32(text, 0x9e3779b9).toString(36);
}

/** How far above its fair share warmth may bring a host: 1.25, less what chance adds to it. */
const BOUND = 1.2;
/** What was started counts half after this time. */
const HALF_LIFE_MS = 60_000;
/** So little is no load, and one slow conversation alone must not be sent about: a request in 11 s, steadily. */
const FREE_RECENT = 8;
/**
 * On top of the bound in flight: with it a host's worst moment is what a plain draw brings by chance (simulated with 3
 * and 4 hosts, 8 to 60 in flight), without it a third of all requests would leave a warm host for no good reason.
 */
const FREE_IN_FLIGHT = 2;
/** Pairs remembered; a catalog holds some dozens. */
const MOST_PAIRS = 512;

type Load = {
  inFlight: number;
  /** Requests started lately, and how many its share would have given it; both decay. */
  recent: number;
  fair: number;
  atMs: number;
};

/** This isolate's own work, by host and model. */
export class AffinityLoads {
  readonly #loads = new Map<string, Load>();

  /**
   * A request begins.
   *
   * @param weighed the choice it was part of: fair is what the shares were then
   */
  started(chosen: Candidate, weighed: readonly Weighed[], nowMs: number): void {
    for (const one of weighed) if (one.share > 0) this.#at(one, nowMs).fair += one.share;
    const load = this.#at(chosen, nowMs);
    load.inFlight += 1;
    load.recent += 1;
    this.#forget();
  }

  finished(chosen: Candidate): void {
    const load = this.#loads.get(keyOfPair(chosen));
    if (load !== undefined) load.inFlight = Math.max(0, load.inFlight - 1);
  }

  /**
   * The host that a key belongs to, of those that may take one more.
   *
   * @param weighed those that have a share
   * @returns null where none may: then the draw decides
   */
  warmest(key: string, weighed: readonly Weighed[], nowMs: number): Weighed | null {
    const loads = weighed.map((one) => this.#at(one, nowMs));
    const inFlight = loads.reduce((sum, load) => sum + load.inFlight, 0);
    let best: { readonly one: Weighed; readonly draw: number } | null = null;
    for (const [at, one] of weighed.entries()) {
      const load = loads[at];
      if (load === undefined || one.steadyWeight <= 0 || one.share <= 0) continue;
      if (load.inFlight + 1 > FREE_IN_FLIGHT + Math.ceil(BOUND * one.share * (inFlight + 1))) continue;
      if (load.recent + 1 > Math.max(FREE_RECENT, BOUND * (load.fair + one.share))) continue;
      const draw = drawOf(key, keyOfPair(one), one.steadyWeight);
      if (best === null || draw < best.draw) best = { one, draw };
    }
    return best?.one ?? null;
  }

  /** The load of a pair as of now; the one used last is the last in the map. */
  #at(candidate: Candidate, nowMs: number): Load {
    const key = keyOfPair(candidate);
    const load = this.#loads.get(key) ?? { inFlight: 0, recent: 0, fair: 0, atMs: nowMs };
    const kept = 0.5 ** (Math.max(0, nowMs - load.atMs) / HALF_LIFE_MS);
    load.recent *= kept;
    load.fair *= kept;
    load.atMs = Math.max(load.atMs, nowMs);
    this.#loads.delete(key);
    this.#loads.set(key, load);
    return load;
  }

  #forget(): void {
    for (const [key, { inFlight }] of this.#loads) {
      if (this.#loads.size <= MOST_PAIRS) return;
      if (inFlight === 0) this.#loads.delete(key);
    }
  }
}

/** A request's key, and what it is held against. */
export type Affinity = { readonly key: string; readonly nowMs: number; readonly loads: AffinityLoads };

function keyOfPair({ host, served }: Candidate): string {
  return pairKey(host.id, served.as);
}
