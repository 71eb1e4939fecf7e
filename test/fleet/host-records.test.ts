import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { HostRecords } from "#src/fleet/host-records.ts";
import { UNKNOWN_LOAD } from "#src/fleet/load.ts";
import type { Probed } from "#src/fleet/probe.ts";
import { catalogOf, valid } from "#test/catalog/catalog-of.ts";

const NOW_MS = 1_790_000_000_000;
const EVERY_MS = 10_000;
const catalog = valid(catalogOf({ host: { canary: { everyS: 60 } } }));
const probed = (result: Probed["result"]): Probed => {
  return { result, reason: null, load: UNKNOWN_LOAD, serves: null, slots: null };
};

/** Rounds of probes of an engine that calls itself well: H, and its answer to a canary where one is due: c or C. */
function rounds(count: number, isHung: (round: number) => boolean): Promise<{ said: string; states: string[] }> {
  return runInDurableObject(env.FLEET.getByName(crypto.randomUUID()), (_, { storage: { sql } }) => {
    const records = new HostRecords(sql);
    let said = "";
    const states: string[] = [];
    for (let round = 0; round < count; round++) {
      const [host] = catalog.hosts;
      if (host === undefined) throw new Error("a catalog has a host");
      const isAsked = records.canaryDue(catalog, host, NOW_MS + round * EVERY_MS) !== null;
      const fails = isAsked && isHung(round);
      said += isAsked ? (fails ? "c" : "C") : "H";
      records.observe(catalog, host, probed(fails ? "failed" : "healthy"));
      states.push(records.health(host.id).state);
    }
    return { said, states };
  });
}

test("a canary is sent as often as the catalog says", async () => {
  expect((await rounds(14, () => false)).said).toBe("CHHHHHCHHHHHCH");
});

test("an engine that hangs goes out after three, though it calls itself healthy, and comes back by a token", async () => {
  const { said, states } = await rounds(14, (round) => round > 2 && round < 11);
  expect(said).toBe("CHHHHHcccccCHH");
  expect(states.slice(5)).toEqual(["up", "up", "up", "down", "down", "down", "down", "up", "up"]);
});

test.each<{ said: string; recovers: string }>([
  { said: "HHHH", recovers: "----" },
  { said: "HFHHHH", recovers: "---R--" },
  { said: "FFFFHH", recovers: "-----R" },
  { said: "HFHFHH", recovers: "-----R" },
  { said: "LHH", recovers: "--R" },
])("probes that say $said: trusted again at $recovers", async ({ said, recovers }) => {
  const results = { H: "healthy", F: "failed", L: "loading" } as const;
  const seen = await runInDurableObject(env.FLEET.getByName(crypto.randomUUID()), (_, { storage: { sql } }) => {
    const records = new HostRecords(sql);
    const [host] = catalog.hosts;
    if (host === undefined) throw new Error("a catalog has a host");
    return [...said].map((letter) => {
      const result = results[letter as keyof typeof results];
      return records.observe(catalog, host, probed(result)) ? "R" : "-";
    });
  });
  expect(seen.join("")).toBe(recovers);
});
