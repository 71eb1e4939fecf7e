import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { UNKNOWN_LOAD } from "#src/fleet/load.ts";
import { type LoadSample, LoadSamples } from "#src/fleet/load-samples.ts";
import { FleetOutbox } from "#src/fleet/outbox.ts";
import { type UsageEvent, usageEvent } from "#src/usage/event.ts";

/** The start of a minute. */
const NOW_MS = 1_790_000_040_000;
const MINUTE_MS = 60_000;
const GPU: LoadSample = {
  ...{ host: "gpu", inFlight: 14, waiting: 2 },
  load: { running: 12, waiting: 3, kvUsage: 0.25 },
};
const JETSON: LoadSample = { host: "jetson", load: UNKNOWN_LOAD, inFlight: 0, waiting: 0 };

/** What is told by notes at these times; a null is a restart. */
async function toldBy(timesMs: readonly (number | null)[], samples = [GPU, JETSON]): Promise<UsageEvent[]> {
  const fleet = env.FLEET.getByName(crypto.randomUUID());
  return runInDurableObject(fleet, (_, { storage: { sql } }) => {
    const fresh = () => new LoadSamples(sql, new FleetOutbox(sql, { sendBatch: () => Promise.reject() }));
    let notes = fresh();
    for (const atMs of timesMs) {
      if (atMs === null) notes = fresh();
      else notes.note(samples, atMs);
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
  expect(await toldBy([NOW_MS], [])).toEqual([]);
});
