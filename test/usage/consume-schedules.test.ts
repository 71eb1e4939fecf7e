// Whatever the queue does: any order, repetition, batches at once, transactions cancelled at any moment, consumers that die
// between commit and ack. The ledger then holds each event once, the sums are those of its rows, and what is no event is a
// dead letter once.
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inSession } from "#src/postgres/session.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { ddl } from "#test/support/ddl.ts";
import { deliver, type Sent } from "#test/support/deliveries.ts";
import { eventWith } from "#test/support/events.ts";

const OUTBOX = "c".repeat(64);
const MINUTE_MS = 60_000;
const AT_MS = 1_789_999_980_000;
/** More than a row of an index holds, and random, because what repeats is compressed. */
const TOO_LONG = Array.from({ length: 2_000 }, () =>
  String.fromCodePoint(0x4e00 + Math.floor(Math.random() * 20_000)),
).join("");

const query = async (text: string, ...values: unknown[]): Promise<Record<string, unknown>[]> =>
  (await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, values))).rows;

/** What a request may have been, as far as the sums tell them apart. */
const facts = fc.record<Partial<InferenceEvent>>({
  atMs: fc.integer({ min: AT_MS, max: AT_MS + 2 * MINUTE_MS }),
  model: fc.constantFrom("small", "large"),
  host: fc.constantFrom("gpu", "jetson", null),
  keyId: fc.constantFrom("key_a", null),
  tenant: fc.constantFrom("", "org", null),
  userId: fc.constantFrom("ann", "bob"),
  outcome: fc.constantFrom("complete", "client_left", "upstream_error", "abandoned", "cached"),
  cache: fc.constantFrom("hit", "miss"),
  estimated: fc.boolean(),
  promptTokens: fc.nat(5_000),
  completionTokens: fc.nat(5_000),
  cachedTokens: fc.option(fc.nat(500)),
  savedTokens: fc.nat(500),
  costMicros: fc.option(fc.nat(100_000)),
  latencyMs: fc.nat(60_000),
  ttftMs: fc.option(fc.nat(10_000)),
});
const spoilt = fc.constantFrom<Record<string, unknown>>({ v: 2 }, { promptTokens: -1 }, { userId: TOO_LONG });
const message = fc.record({ facts, spoilt: fc.option(spoilt, { freq: 4 }) });

const batch = fc.record({
  /** Which messages, by their place, repeatedly too. */
  of: fc.array(fc.nat(), { minLength: 1, maxLength: 25 }),
  fate: fc.oneof(
    { weight: 3, arbitrary: fc.constant("lives" as const) },
    /** Between its commit and its ack. */
    { weight: 1, arbitrary: fc.constant("dies unacknowledged" as const) },
    { weight: 1, arbitrary: fc.constant("cannot commit" as const) },
    /** After so many ms, wherever it then is. */
    { weight: 2, arbitrary: fc.record({ cancelledAfterMs: fc.integer({ min: 0, max: 40 }) }) },
  ),
});
type Fate = typeof batch extends fc.Arbitrary<{ fate: infer F }> ? F : never;

/** Batches of one round are under way at once. */
const rounds = fc.array(fc.array(batch, { minLength: 1, maxLength: 4 }), { maxLength: 4 });

/** Connections of this name fail when they commit. */
const DOOMED = "doomed";
beforeAll(() =>
  ddl(`
    CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN RAISE EXCEPTION 'doomed' USING ERRCODE = 'admin_shutdown'; END $$;
    ${["inference_logs", "dead_letter"]
      .map(
        (table) => `
    CREATE CONSTRAINT TRIGGER doom AFTER INSERT ON ${table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
      WHEN (current_setting('application_name') = '${DOOMED}') EXECUTE FUNCTION doom();`,
      )
      .join("")}`),
);
afterAll(() => ddl("DROP FUNCTION doom CASCADE"));

function databaseAs(name: string): string {
  const url = new URL(env.HYPERDRIVE.connectionString);
  url.searchParams.set("application_name", name);
  return url.href;
}

/** Work on the database that is cancelled once, after a while, if it is then not done. */
async function cancelled<T>(afterMs: number, work: (database: string) => Promise<T>): Promise<T> {
  const name = crypto.randomUUID();
  return inSession(env.HYPERDRIVE.connectionString, async (session) => {
    let isDone = false;
    const working = work(databaseAs(name)).finally(() => {
      isDone = true;
    });
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    for (let hits = 0; !isDone && hits === 0; ) {
      const text = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'`;
      hits = (await session.query(text, [name])).rows.length;
    }
    return working;
  });
}

type Sums = Record<string, Record<string, number>>;

function sumsOf(events: readonly InferenceEvent[]): Sums {
  const sums: Sums = {};
  for (const e of events) {
    const minute = new Date(Math.floor(e.atMs / MINUTE_MS) * MINUTE_MS).toISOString();
    const key = [minute, e.model, e.host ?? "", e.keyId ?? "", e.tenant ?? "", e.userId].join("|");
    const added = {
      requests: 1,
      errors: Number(e.outcome === "upstream_error" || e.outcome === "abandoned"),
      cached_requests: Number(e.cache === "hit"),
      estimated_requests: Number(e.estimated),
      unpriced_requests: Number(e.costMicros === null),
      prompt_tokens: e.promptTokens,
      completion_tokens: e.completionTokens,
      cached_tokens: e.cachedTokens ?? 0,
      saved_tokens: e.savedTokens,
      cost_micros: e.costMicros ?? 0,
      latency_ms: e.latencyMs,
      ttft_ms: e.ttftMs ?? 0,
      ttft_requests: Number(e.ttftMs !== null),
    };
    const before: Record<string, number> = sums[key] ?? {};
    sums[key] = Object.fromEntries(Object.entries(added).map(([name, more]) => [name, (before[name] ?? 0) + more]));
  }
  return sums;
}

async function keptSums(account: string): Promise<Sums> {
  const rows = await query("SELECT * FROM usage_minute WHERE account = $1", account);
  return Object.fromEntries(
    rows.map(({ minute, account: _, model, host, key_id, tenant, user_id, changed_at, ...sums }) => [
      [minute instanceof Date && minute.toISOString(), model, host, key_id, tenant, user_id].join("|"),
      Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, Number(sum)])),
    ]),
  );
}

describe("any schedule of deliveries", () => {
  test("each event is one row, the sums are those of the rows, what is none is one dead letter", async () => {
    const schedule = fc.asyncProperty(
      fc.array(message, { minLength: 1, maxLength: 40 }),
      rounds,
      async (sent, rounds) => {
        const account = crypto.randomUUID();
        const all = sent.map(({ facts, spoilt }) => ({
          event: { ...eventWith({ ...facts, account }), ...spoilt },
          spoilt,
        }));
        const open = new Set(all.keys());
        const told = new Set<string>();
        const run = async (places: readonly number[], fate: Fate): Promise<void> => {
          const messages = places.map((place): Sent => ({ event: all[place]?.event, outbox: OUTBOX }));
          const acknowledge = async (_: string, ids: readonly string[]): Promise<void> => {
            for (const id of ids) told.add(id);
          };
          const delivering = (database: string) => deliver(messages, { acknowledge, database });
          const { acked, retried } =
            typeof fate === "object"
              ? await cancelled(fate.cancelledAfterMs, delivering)
              : await delivering(fate === "cannot commit" ? databaseAs(DOOMED) : env.HYPERDRIVE.connectionString);
          console.log(
            "VERDICT",
            typeof fate === "object" ? "cancel" : fate.replaceAll(" ", "_"),
            retried.length > 0 ? "R" : "A",
          );
          expect(acked.length + retried.length).toBe(places.length);
          if (fate === "dies unacknowledged") return;
          for (const name of acked) open.delete(places[Number(name.slice(1))] ?? -1);
        };
        for (const round of rounds)
          await Promise.all(
            round.map(({ of, fate }) =>
              run(
                of.map((n) => n % all.length),
                fate,
              ),
            ),
          );
        // The queue delivers again what nobody acknowledged.
        if (open.size > 0) await run([...open], "lives");
        expect(open.size).toBe(0);

        const good = all.filter(({ spoilt }) => spoilt === null).map(({ event }) => event);
        const bad = all.filter(({ spoilt }) => spoilt !== null).map(({ event }) => event);
        const ids = (events: readonly { id: string }[]) => events.map(({ id }) => id).sort();
        const rows = await query(
          'SELECT id FROM inference_logs WHERE account = $1 ORDER BY id::text COLLATE "C"',
          account,
        );
        expect(rows.map(({ id }) => id)).toEqual(ids(good));
        expect(await keptSums(account)).toEqual(sumsOf(good));
        const letters = await query('SELECT id FROM dead_letter WHERE id = ANY ($1) ORDER BY id COLLATE "C"', ids(bad));
        expect(letters.map(({ id }) => id)).toEqual(ids(bad));
        expect([...told].sort()).toEqual(ids(all.map(({ event }) => event)));
      },
    );
    await fc.assert(schedule, { numRuns: 20 });
  }, 30_000);
});

test("a batch that cannot commit leaves nothing, neither rows nor sums nor dead letters, and tells nobody", async () => {
  const account = crypto.randomUUID();
  const events = [
    eventWith({ account }),
    eventWith({ account, attempts: -1 }),
    eventWith({ account, userId: TOO_LONG }),
  ];
  const sent = events.map((event) => ({ event, outbox: OUTBOX }));
  const verdict = await deliver(sent, { database: databaseAs(DOOMED) });
  expect(verdict).toMatchObject({ acked: [], retried: ["m0", "m1", "m2"], told: {} });
  expect(await query("SELECT id FROM inference_logs WHERE account = $1", account)).toEqual([]);
  expect(await keptSums(account)).toEqual({});
  expect(
    await query(
      "SELECT id FROM dead_letter WHERE id = ANY ($1)",
      events.map(({ id }) => id),
    ),
  ).toEqual([]);
});

describe("on the hottest sums", () => {
  test("many batches at once, in any order: nobody waits in a circle and the sums are exact", async () => {
    const account = crypto.randomUUID();
    const batches = Array.from({ length: 24 }, () =>
      Array.from({ length: 100 }, (_, at) =>
        eventWith({ account, model: `m${at % 10}`, host: `h${Math.floor(at / 10)}` }),
      ),
    );
    const again = batches.map((batch) => batch.toReversed());
    const verdicts = await Promise.all(
      [...batches, ...again].map((batch) => deliver(batch.map((event) => ({ event })))),
    );
    expect(verdicts.flatMap(({ retried }) => retried)).toEqual([]);
    expect(await keptSums(account)).toEqual(sumsOf(batches.flat()));
  });
});
