/** The Fleet object's tickets as isolates see them, over RPC: who may use which slot, and what ends that. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import type { Fleet } from "#src/fleet/fleet.do.ts";
import { gather, type Outcome } from "#src/fleet/outcome.ts";
import type { TakeRequest } from "#src/fleet/take.ts";
import type { Report } from "#src/fleet/ticket-book.ts";
import { pairKey } from "#src/fleet/view.ts";

type Stub = DurableObjectStub<Fleet>;

const OK: Outcome = { kind: "ok", ttftMs: 50, tokensPerS: 40 };
const FAILED: Outcome = { kind: "failed" };
/** Long enough for whatever does not wait. */
const MOMENT_MS = 20;

/** Hosts whose probes fail, and those that were probed. */
const dead = new Set<string>();
const probed: string[] = [];
let pools: Stub[] = [];

beforeEach(() => {
  dead.clear();
  probed.length = 0;
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  vi.spyOn(Math, "random").mockReturnValue(0);
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input) => {
    const { hostname, pathname } = new URL(input instanceof Request ? input.url : String(input));
    if (pathname !== "/health") return new Response(null, { status: 404 });
    probed.push(hostname);
    return new Response(null, { status: dead.has(hostname) ? 500 : 200 });
  });
});
afterEach(async () => {
  vi.useRealTimers();
  // Its rounds would ask the hosts of the next test.
  for (const fleet of pools) await runInDurableObject(fleet, (_, state) => state.storage.deleteAlarm());
  pools = [];
  vi.restoreAllMocks();
});

const later = (ms: number) => vi.setSystemTime(Date.now() + ms);

/** A pool of its own, whose alarm does not go off by itself. */
async function pool(slots: Readonly<Record<string, number>> = { gpu: 2 }): Promise<Stub> {
  const hosts = Object.entries(slots).map(([id, count]) => {
    return { id, engine: "vllm", slots: count, reach: { via: "direct", url: `http://${id}` } };
  });
  const served = hosts.map(({ id }) => ({ host: id, as: "m" }));
  await env.KV.put(CATALOG_KEY, JSON.stringify({ hosts, models: [{ id: "m", served }] }));
  const fleet = env.FLEET.getByName(crypto.randomUUID());
  pools.push(fleet);
  await runInDurableObject(fleet, (_, state) => state.storage.setAlarm(Date.now() + 3_600_000));
  return fleet;
}

/** One isolate: its reports grow in number, and say what the test says. */
function isolate(fleet: Stub, name: string = crypto.randomUUID()) {
  let seq = 0;
  return {
    name,
    report: (changed: Partial<Omit<Report, "isolate" | "seq">> = {}) =>
      fleet.report({
        isolate: name,
        seq: ++seq,
        used: {},
        kept: {},
        tickets: {},
        outcomes: {},
        decisions: [],
        ...changed,
      }),
    take: (id: string, changed: Partial<TakeRequest> = {}, pollMs = 0) =>
      fleet.take({ ...REQUEST, id, isolate: name, ...changed }, pollMs),
  };
}

/** An isolate that the pool knows. */
async function known(fleet: Stub) {
  const one = isolate(fleet);
  await one.report();
  return one;
}

const pairOf = (host: string, capacity: number) => ({ host, servedAs: "m", capacity });
const REQUEST: Omit<TakeRequest, "id" | "isolate"> = {
  account: "a",
  model: "m",
  share: 1,
  priority: 0,
  weight: 100,
  waitedMs: 0,
  maxWaitMs: 10_000,
  mayCutWait: false,
  maxWaiting: 100,
  pairs: [pairOf("gpu", 2)],
};
const ON_GPU = { host: "gpu", servedAs: "m" };
const GRANTED = { kind: "granted", host: "gpu", waited: false };

async function breakerOf(fleet: Stub): Promise<string | undefined> {
  return (await fleet.page()).view.pairs[pairKey("gpu", "m")]?.breaker;
}

describe("slots", () => {
  test("are granted up to the host's capacity, and the same one to who asks again", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    expect(await one.take("1")).toEqual(GRANTED);
    expect(await one.take("1")).toEqual(GRANTED);
    expect(await one.take("2")).toEqual(GRANTED);
    expect(await one.take("3")).toEqual({ kind: "waiting" });
  });

  test("go to the second choice when the first is full", async () => {
    const fleet = await pool({ gpu: 1, cpu: 1 });
    const one = await known(fleet);
    const pairs = [pairOf("gpu", 1), pairOf("cpu", 1)];
    expect(await one.take("1", { pairs })).toMatchObject({ host: "gpu" });
    expect(await one.take("2", { pairs })).toMatchObject({ host: "cpu" });
    expect(await one.take("3", { pairs })).toEqual({ kind: "waiting" });
  });

  test.each<{ name: string; changed: Partial<TakeRequest> }>([
    { name: "does not wait", changed: { maxWaitMs: 0 } },
    { name: "finds the line full", changed: { maxWaiting: 1 } },
  ])("of a full host: who $name is refused at once, and told when to come back", async ({ changed }) => {
    const fleet = await pool();
    const one = await known(fleet);
    for (const id of ["1", "2", "3"]) await one.take(id);
    const answer = await one.take("4", changed, 60_000);
    expect(answer).toMatchObject({ kind: "refused", because: "full" });
    expect(answer.kind === "refused" ? answer.retryAfterMs : 0).toBeGreaterThanOrEqual(1_000);
  });

  test("that isolates hold, in advance or one by one, are never more than there are", async () => {
    const capacity = 9;
    const fleet = await pool({ gpu: capacity });
    const isolates = [isolate(fleet), isolate(fleet), isolate(fleet), isolate(fleet)].map((one) => {
      return { ...one, spare: 0, used: 0, tickets: new Set<string>() };
    });
    let [seed, ids, most] = [7, 0, 0];
    const chance = (below: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    for (let step = 0; step < 400; step++) {
      const one = isolates[chance(isolates.length)];
      if (one === undefined) continue;
      const kind = chance(5);
      if (kind === 0) {
        const tickets = Object.fromEntries([...one.tickets].map((id) => [id, ON_GPU]));
        one.spare = (await one.report({ used: { gpu: one.used }, tickets })).spare.gpu ?? 0;
      } else if (kind === 1 && one.spare > 0) {
        one.spare -= 1;
        one.used += 1;
      } else if (kind === 2) {
        const id = String(++ids);
        const answer = await one.take(id, { maxWaitMs: 0, pairs: [pairOf("gpu", capacity)] });
        if (answer.kind === "granted") one.tickets.add(id);
      } else if (kind === 3) {
        const [id] = one.tickets;
        if (id === undefined) continue;
        one.tickets.delete(id);
        await fleet.release(id, OK, 100);
      } else if (kind === 4 && one.used > 0) {
        one.used -= 1;
        one.spare += 1;
      }
      later(10);
      const held = isolates.reduce((sum, { spare, used, tickets }) => sum + spare + used + tickets.size, 0);
      most = Math.max(most, held);
      expect(held).toBeLessThanOrEqual(capacity);
    }
    expect(most).toBe(capacity);
  });

  test("are given in advance where a host is plainly free, and what is handed back goes to who waits", async () => {
    const fleet = await pool({ gpu: 8 });
    const [one, other] = [isolate(fleet), isolate(fleet)];
    expect((await one.report()).spare).toEqual({ gpu: 2 });
    expect((await other.report()).spare).toEqual({ gpu: 1 });
    for (let id = 0; id < 5; id++) expect(await one.take(String(id), { pairs: [pairOf("gpu", 8)] })).toEqual(GRANTED);
    expect(await one.take("waits", { pairs: [pairOf("gpu", 8)] })).toEqual({ kind: "waiting" });
    await one.report({ tickets: Object.fromEntries([..."01234"].map((id) => [id, ON_GPU])) });
    expect(await one.take("waits")).toMatchObject({ kind: "granted" });
  });
});

describe("the line", () => {
  test("a turn arrives with the slot that comes free, while it is waited for", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    await one.take("1");
    await one.take("2");
    const turn = one.take("3", {}, 60_000);
    await scheduler.wait(MOMENT_MS);
    await fleet.release("1", OK, 100);
    expect(await turn).toEqual({ ...GRANTED, waited: true });
    expect(await one.take("4")).toEqual({ kind: "waiting" });
  });

  test("a turn that comes between two questions is there at the second", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    for (const id of ["1", "2", "3"]) await one.take(id);
    await fleet.release("2", OK, 100);
    expect(await one.take("3")).toMatchObject({ kind: "granted" });
  });

  test("tells isolates which hosts are waited for", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    expect((await one.report()).awaited).toEqual([]);
    for (const id of ["1", "2", "3"]) await one.take(id);
    expect((await one.report({ tickets: { 1: ON_GPU, 2: ON_GPU } })).awaited).toEqual(["gpu"]);
  });

  test("who leaves it is answered, and passes its turn on", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    await one.take("1");
    await one.take("2");
    const leaver = one.take("leaves", {}, 60_000);
    const next = one.take("stays", {}, 60_000);
    await scheduler.wait(MOMENT_MS);
    await fleet.leave("leaves");
    expect(await leaver).toEqual({ kind: "waiting" });
    expect((await fleet.page()).waiting).toHaveLength(1);
    await fleet.release("1", OK, 100);
    expect(await next).toMatchObject({ kind: "granted" });
  });

  test("a granted slot that is not wanted goes to the next", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    await one.take("1");
    await one.take("2");
    const next = one.take("3", {}, 60_000);
    await scheduler.wait(MOMENT_MS);
    await fleet.leave("1");
    expect(await next).toMatchObject({ kind: "granted" });
  });

  test("who asks no more has no turn", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    for (const id of ["1", "2", "gone"]) await one.take(id);
    later(6_000);
    expect(await runDurableObjectAlarm(fleet)).toBe(true);
    expect((await fleet.page()).waiting).toEqual([]);
    await fleet.release("1", OK, 100);
    expect(await one.take("3")).toEqual(GRANTED);
  });
});

describe("what isolates hold", () => {
  test("is asked for before anything is granted to one that the object has not heard of", async () => {
    const fleet = await pool();
    const one = isolate(fleet);
    expect(await one.take("1")).toEqual({ kind: "unknown" });
    await one.report();
    expect(await one.take("1")).toEqual(GRANTED);
  });

  test("is declared anew to an object that was evicted, and counts", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    await one.take("1");
    await one.take("2");
    await evictDurableObject(fleet);
    expect(await one.take("3")).toEqual({ kind: "unknown" });
    await one.report({ tickets: { 1: ON_GPU, 2: ON_GPU } });
    expect(await one.take("3")).toEqual({ kind: "waiting" });
    await fleet.release("1", OK, 100);
    expect(await one.take("3")).toMatchObject({ kind: "granted" });
  });

  test("is waited for by an object that was evicted, where it has not said so yet", async () => {
    const fleet = await pool();
    const [one, other] = [await known(fleet), await known(fleet)];
    await one.take("1");
    await other.take("2");
    await evictDurableObject(fleet);
    await one.report({ tickets: { 1: ON_GPU } });
    expect(await one.take("3")).toEqual({ kind: "waiting" });
    await other.report({ tickets: { 2: ON_GPU } });
    expect(await one.take("3")).toEqual({ kind: "waiting" });
    await fleet.release("2", OK, 100);
    expect(await one.take("3")).toMatchObject({ kind: "granted" });
  });

  test("is not waited for from one that had fallen silent before", async () => {
    const fleet = await pool();
    await known(fleet);
    later(15_000);
    await runDurableObjectAlarm(fleet);
    await evictDurableObject(fleet);
    expect(await (await known(fleet)).take("1")).toEqual(GRANTED);
  });

  test("counts as little as it says: a ticket that it no longer names is free", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    await one.take("1");
    await one.take("2");
    await one.report({ tickets: { 1: ON_GPU, 2: ON_GPU } });
    expect(await one.take("3")).toEqual({ kind: "waiting" });
    await one.report({ tickets: { 2: ON_GPU } });
    expect(await one.take("3")).toMatchObject({ kind: "granted" });
  });

  test("a report that was overtaken says nothing", async () => {
    const fleet = await pool({ gpu: 8 });
    const early = { isolate: "one", seq: 1, used: {}, kept: {}, tickets: {}, outcomes: {}, decisions: [] };
    await fleet.report({ ...early, seq: 2, used: { gpu: 8 } });
    expect((await fleet.report(early)).spare).toEqual({});
    expect(await isolate(fleet, "one").take("1", { maxWaitMs: 0 })).toMatchObject({ kind: "refused" });
  });

  test.each<{ name: string; held: Partial<Report> }>([
    { name: "in advance", held: { used: { gpu: 2 } } },
    { name: "one by one", held: { tickets: { 1: ON_GPU, 2: ON_GPU } } },
  ])("is lost after 15 s of silence, by the alarm: $name", async ({ held }) => {
    const fleet = await pool();
    const dies = isolate(fleet);
    await dies.report(held);
    later(14_999);
    const lives = await known(fleet);
    await runDurableObjectAlarm(fleet);
    expect(await lives.take("3")).toEqual({ kind: "waiting" });
    later(1);
    await runDurableObjectAlarm(fleet);
    expect(await lives.take("3")).toMatchObject({ kind: "granted" });
    expect(await dies.take("4")).toEqual({ kind: "unknown" });
  });
});

describe("a drain", () => {
  test("is answered when no isolate may start anything by itself, with what is in flight", async () => {
    const fleet = await pool({ gpu: 8 });
    const one = isolate(fleet);
    expect((await one.report()).spare).toEqual({ gpu: 2 });
    const drained = fleet.drain("gpu", true);
    const first = await Promise.race([drained, scheduler.wait(200).then(() => "not yet")]);
    expect(first).toBe("not yet");
    const { spare, view } = await one.report({ used: { gpu: 2 } });
    expect({ spare, draining: view.hosts.gpu?.draining }).toEqual({ spare: {}, draining: true });
    expect(await drained).toBe(2);
  });

  test("is answered also when an isolate falls silent, once its slots are void", async () => {
    const fleet = await pool({ gpu: 8 });
    await isolate(fleet).report();
    const drained = fleet.drain("gpu", true);
    await scheduler.wait(100);
    later(4_000);
    expect(await drained).toBe(0);
  });

  test("lets nothing new start, and who waits there has a turn when it ends", async () => {
    const fleet = await pool({ gpu: 2, cpu: 1 });
    const one = await known(fleet);
    const pairs = [pairOf("gpu", 2), pairOf("cpu", 1)];
    await fleet.drain("gpu", true);
    expect(await one.take("1", { pairs })).toMatchObject({ host: "cpu" });
    const turn = one.take("2", { pairs }, 60_000);
    await scheduler.wait(MOMENT_MS);
    await fleet.drain("gpu", false);
    expect(await turn).toMatchObject({ kind: "granted", host: "gpu" });
  });

  test("survives an eviction, and so does its end", async () => {
    const fleet = await pool();
    const one = isolate(fleet);
    const answerAfterEviction = async () => {
      await evictDurableObject(fleet);
      await one.report();
      return (await one.take(crypto.randomUUID(), { maxWaitMs: 0 })).kind;
    };
    await fleet.drain("gpu", true);
    expect(await answerAfterEviction()).toBe("refused");
    await fleet.drain("gpu", false);
    expect(await answerAfterEviction()).toBe("granted");
  });
});

describe("a breaker", () => {
  /** Ten failures of one host, reported by one isolate. */
  const failures = (count: number): Pick<Report, "outcomes"> => {
    const outcomes = {};
    for (let call = 0; call < count; call++) gather(outcomes, "gpu", "m", FAILED);
    return { outcomes };
  };

  test("opens at ten failures, whoever saw them, and asks the host at once whether it is there", async () => {
    const fleet = await pool();
    const [one, other] = [isolate(fleet), isolate(fleet)];
    await one.report(failures(5));
    expect(await breakerOf(fleet)).toBe("closed");
    expect(probed).toEqual([]);
    await other.report(failures(5));
    expect(await breakerOf(fleet)).toBe("open");
    await vi.waitFor(() => expect(probed).toEqual(["gpu"]));
    expect(await one.take("1", { maxWaitMs: 0 })).toMatchObject({ kind: "refused" });
  });

  test("opens by what tickets brought as well", async () => {
    const fleet = await pool();
    const one = await known(fleet);
    for (let id = 0; id < 10; id++) {
      expect(await one.take(String(id))).toEqual(GRANTED);
      await fleet.release(String(id), FAILED, null);
    }
    expect(await one.take("11", { maxWaitMs: 0 })).toMatchObject({ kind: "refused" });
    await vi.waitFor(() => expect(probed).toEqual(["gpu"]));
  });

  test("lets one trial at a time through on a host of one slot, a minute later", async () => {
    const fleet = await pool({ gpu: 1 });
    const one = isolate(fleet);
    const openedAtMs = Date.now();
    await one.report(failures(10));
    await vi.waitFor(() => expect(probed).toEqual(["gpu"]));
    const pairs = [pairOf("gpu", 1)];
    vi.setSystemTime(openedAtMs + 59_999);
    expect(await one.take("1", { pairs, maxWaitMs: 0 })).toMatchObject({ kind: "refused", because: "out" });
    later(1);
    await one.report();
    expect(await one.take("2", { pairs, maxWaitMs: 0 })).toEqual(GRANTED);
    expect(await one.take("3", { pairs, maxWaitMs: 0 })).toMatchObject({ kind: "refused" });
  });

  test("of a host that was gone lets trials through with its second good probe", async () => {
    const fleet = await pool();
    const one = isolate(fleet);
    dead.add("gpu");
    await runDurableObjectAlarm(fleet);
    await one.report(failures(10));
    await vi.waitFor(() => expect(probed).toHaveLength(2));
    dead.clear();
    await runDurableObjectAlarm(fleet);
    expect(await breakerOf(fleet)).toBe("open");
    await runDurableObjectAlarm(fleet);
    expect(await breakerOf(fleet)).toBe("half-open");
    expect(await one.take("1")).toEqual(GRANTED);
  });
});
