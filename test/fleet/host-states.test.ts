import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import { Fleet } from "#src/fleet/fleet.do.ts";
import type { HostState } from "#src/fleet/health.ts";
import { type Present, TOLD_EVERY_MS, type Told, toTell } from "#src/fleet/host-states.ts";
import { type HostStateEvent, hostStateEvent } from "#src/usage/event.ts";
import { withOwnQueue } from "#test/support/own-queue.ts";

const NOW_MS = 1_790_000_000_000;
const host = (state: HostState, slots = 4, id = "gpu", reason: string | null = null): Present => ({
  id,
  slots,
  reason,
  health: { state, inRow: 3, lastResult: state === "up" ? "healthy" : "failed" },
});
const toldOf = (state: string, slots = 4, agoMs = 10_000): [string, Told] => [
  "gpu",
  { state, slots, atMs: NOW_MS - agoMs },
];

describe("what there is to tell", () => {
  test.each<{ name: string; told: [string, Told][]; now: Present[]; says: object[] }>([
    { name: "a host's first state", told: [], now: [host("up")], says: [{ state: "up", previous: null, slots: 4 }] },
    { name: "nothing new", told: [toldOf("up")], now: [host("up")], says: [] },
    {
      name: "a change, and why",
      told: [toldOf("up")],
      now: [host("down")],
      says: [{ host: "gpu", state: "down", previous: "up", reason: "failed, 3 in a row" }],
    },
    {
      name: "a change, and what the probe found",
      told: [toldOf("up")],
      now: [host("down", 4, "gpu", "canary: no answer within 10 s")],
      says: [{ state: "down", reason: "canary: no answer within 10 s, 3 in a row" }],
    },
    {
      name: "other slots",
      told: [toldOf("up", 2)],
      now: [host("up", 8)],
      says: [{ state: "up", previous: "up", slots: 8 }],
    },
    {
      name: "the same after an hour",
      told: [toldOf("up", 4, TOLD_EVERY_MS)],
      now: [host("up")],
      says: [{ state: "up", previous: "up", reason: "hourly" }],
    },
    { name: "not before", told: [toldOf("up", 4, TOLD_EVERY_MS - 1)], now: [host("up")], says: [] },
    {
      name: "the same when the clock was set back by more",
      told: [toldOf("up", 4, -TOLD_EVERY_MS)],
      now: [host("up")],
      says: [{ reason: "hourly" }],
    },
    {
      name: "one that left the catalog",
      told: [toldOf("up")],
      now: [host("up", 1, "new")],
      says: [
        { host: "new", state: "up" },
        { host: "gpu", state: "gone", previous: "up" },
      ],
    },
  ])("$name", ({ told, now, says }) => {
    expect(toTell(new Map(told), now, NOW_MS)).toMatchObject(says);
  });

  test("every change once, each with the state before, and never an hour of silence", () => {
    const states = fc.array(fc.tuple(fc.constantFrom<HostState>("up", "down", "loading", "unknown"), fc.nat(900_000)), {
      minLength: 1,
    });
    fc.assert(
      fc.property(states, (steps) => {
        let told = new Map<string, Told>();
        let nowMs = NOW_MS;
        let saidAtMs = NOW_MS;
        let before: string | null = null;
        for (const [state, waitMs] of steps) {
          nowMs += waitMs;
          const said = toTell(told, [host(state)], nowMs);
          expect(said.length).toBe(state !== before || nowMs - saidAtMs >= TOLD_EVERY_MS ? 1 : 0);
          for (const { previous } of said) {
            expect(previous).toBe(before);
            told = new Map([["gpu", { state, slots: 4, atMs: nowMs }]]);
            saidAtMs = nowMs;
          }
          before = state;
        }
      }),
    );
  });
});

describe("the pool", () => {
  const sent: HostStateEvent[] = [];
  const queue = { down: false, batches: [] as number[] };
  const answering = new Set<string>();
  beforeEach(() => {
    sent.length = 0;
    queue.down = false;
    answering.clear();
    vi.spyOn(console, "error").mockReturnValue();
    // Hosts are asked at once.
    vi.spyOn(Math, "random").mockReturnValue(0);
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input) => {
      const { hostname } = new URL(input instanceof Request ? input.url : String(input));
      if (!answering.has(hostname)) throw new TypeError("Network connection lost.");
      return new Response();
    });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await env.KV.delete(CATALOG_KEY);
  });

  const useCatalog = (...ids: string[]): Promise<void> =>
    env.KV.put(
      CATALOG_KEY,
      JSON.stringify({
        hosts: ids.map((id) => ({ id, engine: "vllm", slots: 7, reach: { via: "direct", url: `http://${id}` } })),
        models: [{ id: "m", served: ids.map((id) => ({ host: id, as: "m" })) }],
      }),
    );

  async function pool() {
    const fleet = env.FLEET.getByName(crypto.randomUUID());
    const round = async (): Promise<void> => {
      await runInDurableObject(fleet, async (instance, state) => {
        tapQueue(instance);
        await state.storage.setAlarm(Date.now() + 3_600_000);
      });
      await runDurableObjectAlarm(fleet);
    };
    return { fleet, round };
  }

  function tapQueue(fleet: Fleet): void {
    withOwnQueue(fleet, (messages) => {
      if (queue.down) throw new Error("Too Many Requests");
      queue.batches.push(messages.length);
      for (const { event } of messages) if (event.kind === "host_state") sent.push(hostStateEvent.parse(event));
    });
  }
  const told = () => sent.map(({ host, previous, state }) => `${host}: ${previous} -> ${state}`);

  test("tells each state once, over restarts too", async () => {
    await useCatalog("gpu", "cpu");
    answering.add("gpu");
    const { fleet, round } = await pool();
    await round();
    await evictDurableObject(fleet);
    await round();
    expect(told()).toEqual(["gpu: null -> up", "cpu: null -> unknown"]);
    await round();
    expect(told().slice(2)).toEqual(["cpu: unknown -> down"]);
    expect(sent.every(({ slots }) => slots === 7)).toBe(true);
    await useCatalog("cpu");
    await round();
    expect(told().slice(3)).toEqual(["gpu: up -> gone"]);
    await useCatalog("gpu", "cpu");
    await round();
    expect(told().slice(4)).toEqual(["gpu: null -> up"]);
  });

  test("loses and repeats nothing while the queue is down", async () => {
    await useCatalog("gpu");
    answering.add("gpu");
    const { fleet, round } = await pool();
    queue.down = true;
    await round();
    answering.delete("gpu");
    for (let turn = 0; turn < 3; turn++) await round();
    expect(sent).toEqual([]);
    queue.down = false;
    await runInDurableObject(fleet, async (_, state) => {
      const fresh = new Fleet(state, env);
      tapQueue(fresh);
      await fresh.alarm();
    });
    await round();
    expect(told()).toEqual(["gpu: null -> up", "gpu: up -> down"]);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(2);
  });

  test("sends a long backlog in batches that the platform takes", async () => {
    await useCatalog("gpu");
    const { fleet, round } = await pool();
    queue.down = true;
    for (let change = 0; change < 40; change++) {
      await useCatalog(...Array.from({ length: 3 }, (_, at) => `h${change % 2}${at}`));
      await round();
    }
    queue.down = false;
    queue.batches.length = 0;
    await runDurableObjectAlarm(fleet);
    expect(queue.batches.length).toBeGreaterThan(1);
    expect(Math.max(...queue.batches)).toBeLessThanOrEqual(100);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(sent.length);
  });
});
