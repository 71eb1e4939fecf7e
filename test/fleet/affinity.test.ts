import { describe, expect, test } from "vitest";
import { PrefixCache } from "#scripts/lab/prefix-cache.ts";
import { seeded } from "#scripts/storm/chance.ts";
import { AffinityLoads, affinityKey, type Beginning } from "#src/fleet/affinity.ts";
import { orderOf } from "#src/fleet/order.ts";
import type { Weighed } from "#src/fleet/weigh.ts";
import { type Box, NOW_MS, weighed } from "./boxes.ts";

const LONG = "word ".repeat(300);
const BASE: Beginning = { account: "i|alice", tenant: null, session: null, user: null, opening: LONG };
const BOB = "i|bob";

describe("the key", () => {
  test.each<{ name: string; one: Partial<Beginning>; other: Partial<Beginning>; same: boolean }>([
    { name: "a long beginning, whoever asks", one: {}, other: { account: BOB }, same: true },
    { name: "not across tenants", one: { tenant: "acme" }, other: { tenant: "other" }, same: false },
    { name: "within a tenant", one: { tenant: "acme" }, other: { tenant: "acme", account: BOB }, same: true },
    { name: "what comes after 1,024 characters", one: {}, other: { opening: `${LONG}and more` }, same: true },
    { name: "a difference before", one: {}, other: { opening: `a${LONG}` }, same: false },
    { name: "a session, whatever is said", one: { session: "s" }, other: { session: "s", opening: "" }, same: true },
    { name: "another session", one: { session: "s" }, other: { session: "t" }, same: false },
    { name: "another account's session", one: { session: "s" }, other: { session: "s", account: BOB }, same: false },
    { name: "session before user", one: { session: "s", user: "u" }, other: { session: "s", user: "v" }, same: true },
    { name: "a user", one: { user: "u" }, other: { user: "u", opening: "" }, same: true },
    { name: "another user", one: { user: "u" }, other: { user: "v" }, same: false },
    { name: "another account's user", one: { user: "u" }, other: { user: "u", account: BOB }, same: false },
    { name: "a user is no session", one: { user: "s" }, other: { session: "s" }, same: false },
  ])("$name: $same", ({ one, other, same }) => {
    const keys = [affinityKey({ ...BASE, ...one }), affinityKey({ ...BASE, ...other })];
    expect(keys).not.toContain(null);
    expect(keys[0] === keys[1]).toBe(same);
  });

  test.each<{ name: string; opening: string; has: boolean }>([
    { name: "nothing", opening: "", has: false },
    { name: "a short question", opening: "a".repeat(511), has: false },
    { name: "just long enough", opening: "a".repeat(512), has: true },
  ])("of an opening alone: $name", ({ opening, has }) => {
    expect(affinityKey({ ...BASE, opening }) !== null).toBe(has);
    expect(affinityKey({ ...BASE, session: "", user: "", opening }) !== null).toBe(has);
  });

  test("holds no text", () => {
    const key = affinityKey({ ...BASE, session: "my-secret-session" });
    expect(key).toMatch(/^[0-9a-z]{2,14}$/);
  });
});

/** Asks one after the other, or with so many in flight at once; what each host was given, and in what order. */
function run(boxes: readonly Box[], keys: readonly (string | null)[], { atOnce = 1, everyMs = 100 } = {}) {
  const rows = weighed(boxes);
  const random = seeded(11);
  const loads = new AffinityLoads();
  const underWay: Weighed[] = [];
  const hosts = keys.map((key, at) => {
    const nowMs = NOW_MS + at * everyMs;
    const [first] = orderOf(rows, { random, affinity: key === null ? null : { key, nowMs, loads } });
    if (first === undefined) throw new Error("somebody is able");
    loads.started(first, rows, nowMs);
    underWay.push(first);
    if (underWay.length >= atOnce) {
      const [done] = underWay.splice(Math.floor(random() * underWay.length), 1);
      if (done !== undefined) loads.finished(done);
    }
    return first.host.id;
  });
  const count = (id: string) => hosts.filter((one) => one === id).length;
  return { hosts, worst: Math.max(...rows.map(({ host, share }) => count(host.id) / (share * keys.length))) };
}

const THREE: Box[] = [{ id: "a" }, { id: "b" }, { id: "c" }];
const turns = (sessions: number, each: number) =>
  Array.from({ length: sessions * each }, (_, at) => `s${at % sessions}`);

describe("bounded loads", () => {
  test("one slow conversation stays where it is", () => {
    expect(new Set(run(THREE, turns(1, 40), { everyMs: 15_000 }).hosts).size).toBe(1);
  });

  test("one that asks without a pause is spread, all the same", () => {
    expect(run(THREE, turns(1, 300)).worst).toBeLessThanOrEqual(1.25);
  });

  test("the first requests of each of a few are not sent about", () => {
    const { hosts } = run(THREE, turns(3, 3));
    for (const session of [0, 1, 2]) expect(new Set(hosts.filter((_, at) => at % 3 === session)).size).toBe(1);
  });

  test.each([
    { name: "30 sessions, one request after the other", boxes: THREE, keys: turns(30, 10), atOnce: 1 },
    { name: "one session after the other", boxes: THREE, keys: turns(30, 10).sort(), atOnce: 1 },
    { name: "many at once", boxes: THREE, keys: turns(30, 20), atOnce: 24 },
    {
      name: "one beginning for half of all",
      boxes: THREE,
      keys: turns(30, 20).map((key, at) => (at % 2 === 0 ? "all" : key)),
      atOnce: 12,
    },
    {
      name: "half without a key",
      boxes: THREE,
      keys: turns(30, 20).map((key, at) => (at % 2 === 0 ? null : key)),
      atOnce: 6,
    },
    {
      name: "of unlike weight",
      boxes: [{ id: "a", host: { weight: 4 } }, { id: "b", host: { weight: 2 } }, { id: "c" }, { id: "d" }],
      keys: turns(60, 10),
      atOnce: 8,
    },
  ])("nobody carries more than 1.25 times its share: $name", ({ boxes, keys, atOnce }) => {
    expect(run(boxes, keys, { atOnce }).worst).toBeLessThanOrEqual(1.25);
  });

  test("a host that comes back gets its share and does not draw everybody away", () => {
    const loads = new AffinityLoads();
    const both = weighed([{ id: "a" }, { id: "b" }, { id: "c", seen: { state: "down" } }]);
    const all = weighed(THREE);
    const ask = (rows: Weighed[], key: string, nowMs: number) => {
      const [first] = orderOf(rows, { random: Math.random, affinity: { key, nowMs, loads } });
      if (first === undefined) throw new Error("somebody is able");
      loads.started(first, rows, nowMs);
      loads.finished(first);
      return first.host.id;
    };
    const keys = turns(30, 10);
    for (const [at, key] of keys.entries()) ask(both, key, NOW_MS + at * 100);
    const after = keys.map((key, at) => ask(all, key, NOW_MS + 30_000 + at * 100));
    const part = after.filter((id) => id === "c").length / after.length;
    expect(part).toBeGreaterThan(0.15);
    expect(part).toBeLessThanOrEqual(1.25 / 3 + 0.01);
  });

  test("what is over long ago counts no more", () => {
    const rows = weighed(THREE);
    const loads = new AffinityLoads();
    const warm = loads.warmest("key", rows, NOW_MS);
    if (warm === null) throw new Error("all are idle");
    for (let at = 0; at < 30; at++) {
      loads.started(warm, rows, NOW_MS);
      loads.finished(warm);
    }
    expect(loads.warmest("key", rows, NOW_MS)?.host.id).not.toBe(warm.host.id);
    expect(loads.warmest("key", rows, NOW_MS + 3 * 60_000)?.host.id).toBe(warm.host.id);
  });

  test("what is in flight counts as long as it is, however long ago it began", () => {
    const rows = weighed(THREE);
    const loads = new AffinityLoads();
    const warm = loads.warmest("key", rows, NOW_MS);
    if (warm === null) throw new Error("all are idle");
    // Up to 1.25 times a third of all, rounded up, and two.
    const hosts = Array.from({ length: 12 }, (_, at) => {
      const nowMs = NOW_MS + at * 600_000;
      const one = loads.warmest("key", rows, nowMs) ?? warm;
      loads.started(one, rows, nowMs);
      return one.host.id;
    });
    expect(hosts.filter((id) => id === warm.host.id)).toHaveLength(7);
    loads.finished(warm);
    expect(loads.warmest("key", rows, NOW_MS + 12 * 600_000)?.host.id).toBe(warm.host.id);
  });

  test("memory is bounded: of pairs not used for long nothing is kept", () => {
    const rows = weighed(THREE);
    const loads = new AffinityLoads();
    const warm = loads.warmest("key", rows, NOW_MS);
    if (warm === null) throw new Error("all are idle");
    const work = (one: Weighed, among: readonly Weighed[]) => {
      loads.started(one, among, NOW_MS);
      loads.finished(one);
    };
    for (let at = 0; at < 30; at++) work(warm, rows);
    expect(loads.warmest("key", rows, NOW_MS)?.host.id).not.toBe(warm.host.id);
    for (let at = 0; at < 600; at++) {
      const other = { ...warm, host: { ...warm.host, id: `other-${at}` } };
      work(other, [other]);
    }
    expect(loads.warmest("key", rows, NOW_MS)?.host.id).toBe(warm.host.id);
  });

  test("a clock that goes back changes nothing, nor an end without a beginning", () => {
    const rows = weighed(THREE);
    const loads = new AffinityLoads();
    const [first] = rows;
    if (first === undefined) throw new Error("there are three");
    loads.finished(first);
    loads.started(first, rows, NOW_MS);
    expect(loads.warmest("key", rows, NOW_MS - 3_600_000)).not.toBeNull();
  });
});

describe("what it is for: an engine's prefix cache", () => {
  const HOSTS = 4;
  const PREFIXES = 300;
  const REQUESTS = 6_000;
  const words = (seed: number, count: number) => {
    const random = seeded(seed);
    return Array.from({ length: count }, () => Math.floor(random() * 90_000 + 10_000)).join(" ");
  };
  // 4,096 blocks of 16 tokens hold about 80 of them.
  const prefixes = Array.from({ length: PREFIXES }, (_, at) => words(at, 800));

  /** The part of prompt tokens found in a cache, and the worst host's load against its fair one. */
  function simulate(warm: boolean): { hitRate: number; worst: number } {
    const boxes = Array.from({ length: HOSTS }, (_, at): Box => ({ id: `gpu-${at}` }));
    const rows = weighed(boxes);
    const caches = new Map(boxes.map(({ id }) => [id, new PrefixCache()]));
    const given = new Map<string, number>();
    const loads = new AffinityLoads();
    const random = seeded(5);
    const underWay: Weighed[] = [];
    for (let at = 0; at < REQUESTS; at++) {
      const prefix = prefixes[Math.floor(random() * PREFIXES)] ?? "";
      const key = affinityKey({ ...BASE, opening: prefix });
      const nowMs = NOW_MS + at * 50;
      const affinity = warm && key !== null ? { key, nowMs, loads } : null;
      const [first] = orderOf(rows, { random, affinity });
      if (first === undefined) throw new Error("all are able");
      loads.started(first, rows, nowMs);
      underWay.push(first);
      if (underWay.length > 20) {
        const [done] = underWay.splice(Math.floor(random() * underWay.length), 1);
        if (done !== undefined) loads.finished(done);
      }
      caches.get(first.host.id)?.look(`${prefix} question ${at}`, "");
      given.set(first.host.id, (given.get(first.host.id) ?? 0) + 1);
    }
    const all = [...caches.values()];
    const hits = all.reduce((sum, { hitTokens }) => sum + hitTokens, 0);
    const asked = all.reduce((sum, { queriedTokens }) => sum + queriedTokens, 0);
    return { hitRate: hits / asked, worst: Math.max(...given.values()) / (REQUESTS / HOSTS) };
  }

  test("three times as much of it is found, and nobody carries more than 1.25 times its share", () => {
    const random = simulate(false);
    const affine = simulate(true);
    expect(affine.hitRate).toBeGreaterThanOrEqual(3 * random.hitRate);
    expect(affine.worst).toBeLessThanOrEqual(1.25);
  });
});
