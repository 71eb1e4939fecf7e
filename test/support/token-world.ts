/**
 * What stands around the door in a test: a clock that the test moves, a KV that can fail, an epoch of keys, and the
 * work that was left to `waitUntil`. Each one is an isolate of its own; two may share a KV.
 */
import type { TokenWorld } from "#src/auth/jwt.ts";
import { ringOf } from "#src/auth/memory.ts";
import { VerifiedTokens } from "#src/auth/verified-tokens.ts";
import { type TrustedIssuer, trustedIssuer } from "#src/catalog/issuer.ts";
import { AUDIENCE, ISSUER } from "./issuer.ts";

export type TestKv = Pick<KVNamespace, "get" | "put"> & {
  readonly stored: Map<string, string>;
  /** Names that were asked for, in order. */
  readonly read: string[];
  mode: "up" | "down";
};

/** A KV namespace in memory, as far as the door uses one. */
export function testKv(): TestKv {
  const stored = new Map<string, string>();
  const read: string[] = [];
  const kv = {
    stored,
    read,
    mode: "up" as TestKv["mode"],
    async get(name: string): Promise<unknown> {
      read.push(name);
      await Promise.resolve();
      if (kv.mode === "down") throw new Error("KV is down");
      const text = stored.get(name);
      return text === undefined ? null : JSON.parse(text);
    },
    async put(name: string, value: string): Promise<void> {
      await Promise.resolve();
      if (kv.mode === "down") throw new Error("KV is down");
      stored.set(name, value);
    },
  };
  return kv as unknown as TestKv;
}

export type TestWorld = TokenWorld & {
  nowMs: number;
  keysEpoch: number;
  /** Work left to `waitUntil`, in order. */
  readonly deferred: Promise<void>[];
  readonly kv: TestKv;
};

export type Surroundings = {
  readonly fetcher: typeof fetch;
  readonly issuers?: readonly TrustedIssuer[];
  readonly kv?: TestKv;
};

/** A fresh isolate that trusts one issuer, or those given. */
export function tokenWorld(nowMs: number, surroundings: Surroundings): TestWorld {
  const rings = new Map();
  const deferred: Promise<void>[] = [];
  const world: TestWorld = {
    nowMs,
    keysEpoch: 0,
    deferred,
    issuers: surroundings.issuers ?? [trustedIssuer(ISSUER, AUDIENCE)],
    ringOf: (issuer) => ringOf({ rings }, issuer),
    verified: new VerifiedTokens(),
    epoch: () => Promise.resolve(world.keysEpoch),
    fetcher: surroundings.fetcher,
    kv: surroundings.kv ?? testKv(),
    now: () => world.nowMs,
    random: () => 0.5,
    defer: (work) => deferred.push(work),
  };
  return world;
}
