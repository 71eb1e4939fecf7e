import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import { UNKNOWN_LOAD } from "#src/fleet/load.ts";
import { type LoadSample, LoadSamples } from "#src/fleet/load-samples.ts";
import { FleetOutbox } from "#src/fleet/outbox.ts";
import { type UsageEvent, usageEvent } from "#src/usage/event.ts";
import { catalogOf } from "#test/catalog/catalog-of.ts";
import { withOwnQueue } from "#test/support/own-queue.ts";

/** The start of a minute. */
const NOW_MS = 1_790_000_040_000;
const MINUTE_MS = 60_000;
const GPU: LoadSample = {
  ...{ host: "gpu", inFlight: 14, waiting: 2 },
  load: { running: 12, waiting: 3, kvUsage: 0.25 },
};
const JETSON: LoadSample = { host: "jetson", load: UNKNOWN_LOAD, inFlight: 0, waiting: 0 };

/** What is told by notes at these times; a null is a restart. */
async function toldBy(
  timesMs: readonly (number | null)[],
  samplesAt: (atMs: number) => readonly LoadSample[] = () => [GPU, JETSON],
): Promise<UsageEvent[]> {
  const fleet = env.FLEET.getByName(crypto.randomUUID());
  return runInDurableObject(fleet, (_, { storage: { sql } }) => {
    const fresh = () => new LoadSamples(sql, new FleetOutbox(sql, { sendBatch: () => Promise.reject() }));
    let notes = fresh();
    for (const atMs of timesMs) {
      if (atMs === null) notes = fresh();
      else notes.note(samplesAt(atMs), atMs);
    }
    const rows = sql.exec<{ event: string }>("SELECT event FROM unsent ORDER BY rowid").toArray();
    return rows.map(({ event }) => usageEvent.parse(JSON.parse(event)));
  });
}

test("a sample is told as it is, and what is not known as null", async () => {
  const facts = { v: 1, kind: "host_load", atMs: NOW_MS };
  expect(await toldBy([NOW_MS])).toEqual([
    {
      ...{ ...facts, id: expect.any(String), host: "gpu" },
      ...{ running: 12, waiting: 3, kvUsage: 0.25, inFlight: 14, inLine: 2 },
    },
    {
      ...{ ...facts, id: expect.any(String), host: "jetson" },
      ...{ running: null, waiting: null, kvUsage: null, inFlight: 0, inLine: 0 },
    },
  ]);
});

test.each<{ name: string; timesMs: (number | null)[]; told: number[] }>([
  {
    name: "once in a minute",
    timesMs: [0, 10_000, 59_999, 60_000, 69_999],
    told: [0, 60_000],
  },
  { name: "in each, however late in it", timesMs: [59_000, 61_000, 179_000], told: [59_000, 61_000, 179_000] },
  { name: "not again after a restart", timesMs: [0, null, 10_000, null, 60_000], told: [0, 60_000] },
  { name: "also when the clock was set back", timesMs: [0, -MINUTE_MS, -50_000, 0], told: [0, -MINUTE_MS, 0] },
])("$name", async ({ timesMs, told }) => {
  const events = await toldBy(timesMs.map((ms) => (ms === null ? null : NOW_MS + ms)));
  expect(events.flatMap((event) => (event.kind === "host_load" && event.host === "gpu" ? [event.atMs] : []))).toEqual(
    told.map((ms) => NOW_MS + ms),
  );
  expect(new Set(events.map(({ id }) => id)).size).toBe(2 * told.length);
});

test("a pool that has no hosts yet has not told", async () => {
  const events = await toldBy([NOW_MS, NOW_MS + 10_000], (atMs) => (atMs === NOW_MS ? [] : [GPU]));
  expect(events).toMatchObject([{ host: "gpu", atMs: NOW_MS + 10_000 }]);
});

test("a round of the pool's probes sends what its hosts say", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input) => {
    const { pathname } = new URL(input instanceof Request ? input.url : String(input));
    return new Response(pathname === "/metrics" ? "vllm:num_requests_running 5\nvllm:kv_cache_usage_perc 0.5\n" : null);
  });
  await env.KV.put(CATALOG_KEY, JSON.stringify(catalogOf()));
  const sent: UsageEvent[] = [];
  const fleet = env.FLEET.getByName(crypto.randomUUID());
  await runInDurableObject(fleet, async (instance) => {
    withOwnQueue(instance, (messages) => void sent.push(...messages.map(({ event }) => usageEvent.parse(event))));
    await instance.alarm();
    await instance.alarm();
  });
  vi.restoreAllMocks();
  await env.KV.delete(CATALOG_KEY);
  const loads = sent.filter(({ kind }) => kind === "host_load");
  // Two rounds may lie in two minutes.
  expect(loads.length).toBeLessThanOrEqual(2);
  expect(loads[0]).toMatchObject({ host: "gpu", running: 5, waiting: null, kvUsage: 0.5, inFlight: 0, inLine: 0 });
});
