import { env } from "cloudflare:workers";
import { v7 as uuidv7 } from "uuid";
import { describe, expect, test } from "vitest";
import { inSession } from "#src/postgres/session.ts";
import type { AuditEvent, InferenceEvent, UsageEvent } from "#src/usage/event.ts";
import { auditWith } from "#test/support/audit-events.ts";
import { ddl } from "#test/support/ddl.ts";
import { deliver } from "#test/support/deliveries.ts";
import { eventWith, feedbackWith, hostLoadWith, hostStateWith } from "#test/support/events.ts";

const query = (text: string) => inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text));

/** Nothing listens there. */
const CLOSED_PORT = "postgres://nobody:nothing@127.0.0.1:1/none";
/** As of Durable Objects. */
const [OUTBOX, ANOTHER_OUTBOX] = ["a".repeat(64), "b".repeat(64)];

// Random, because what repeats is compressed and then fits.
const RANDOM = Array.from({ length: 20_000 }, () => String.fromCodePoint(0x4e00 + Math.floor(Math.random() * 20_000)));

const messages = (...events: readonly UsageEvent[]) => events.map((event) => ({ event }));
const ledger = (events: readonly InferenceEvent[]) => rowsIn("inference_logs", events);
const trail = (events: readonly AuditEvent[]) => rowsIn("audit_log", events);
const deadLetters = (...ids: string[]) =>
  rowsIn(
    "dead_letter",
    ids.map((id) => ({ id })),
    "text",
  );

async function rowsIn(
  table: string,
  events: readonly { id: string }[],
  type: "uuid" | "text" = "uuid",
): Promise<Record<string, unknown>[]> {
  const text = `SELECT * FROM ${table} WHERE id = ANY ($1::${type}[])`;
  const ids = events.map(({ id }) => id);
  const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [ids]));
  return rows;
}

describe("what is delivered is in the ledger once", () => {
  test("a batch", async () => {
    const events = [eventWith({ promptTokens: 3 }), eventWith({ promptTokens: 5 }), eventWith({ promptTokens: 7 })];
    expect(await deliver(messages(...events))).toMatchObject({ acked: ["m0", "m1", "m2"], retried: [] });
    const rows = await ledger(events);
    expect(rows.map(({ prompt_tokens }) => prompt_tokens).sort()).toEqual([3, 5, 7]);
  });

  test("twice in one batch", async () => {
    const event = eventWith();
    expect(await deliver([{ event }, { event }])).toMatchObject({ acked: ["m0", "m1"], retried: [] });
    expect(await ledger([event])).toHaveLength(1);
  });

  test("in two batches, and in two at once", async () => {
    const event = eventWith();
    await deliver([{ event }]);
    expect((await deliver([{ event }])).acked).toEqual(["m0"]);
    const another = eventWith();
    const both = await Promise.all([deliver([{ event: another }]), deliver([{ event: another }])]);
    expect(both.map(({ acked }) => acked)).toEqual([["m0"], ["m0"]]);
    expect(await ledger([event, another])).toHaveLength(2);
  });

  test("an abandoned lease and a late settle share an id: the first to arrive stays", async () => {
    const draft = eventWith({ outcome: "abandoned", estimated: true });
    await deliver([{ event: draft }, { event: { ...draft, outcome: "complete", estimated: false } }]);
    expect((await ledger([draft])).map(({ outcome }) => outcome)).toEqual(["abandoned"]);
  });
});

describe("every kind has its table", () => {
  test("a mixed batch, and the same again", async () => {
    const [inference, audit] = [
      [eventWith(), eventWith()],
      [auditWith(), auditWith()],
    ];
    const feedback = [feedbackWith(), feedbackWith({ satisfaction: null, comment: "too long" })];
    const hosts = [hostStateWith(), hostStateWith({ previous: null, reason: null })];
    const host = crypto.randomUUID();
    const loads = [hostLoadWith({ host }), hostLoadWith({ host, atMs: 1_790_000_060_123, running: null })];
    const all = [...inference, ...audit, ...feedback, ...hosts, ...loads];
    for (let turn = 0; turn < 2; turn++) {
      expect((await deliver(messages(...all, ...all.toReversed()))).acked).toHaveLength(2 * all.length);
    }
    expect(await ledger(inference)).toHaveLength(2);
    expect(await trail(audit)).toHaveLength(2);
    expect(await rowsIn("feedback", feedback)).toHaveLength(2);
    expect(await rowsIn("host_state", hosts)).toHaveLength(2);
    const { rows } = await query(`SELECT running FROM model_metrics WHERE host = '${host}' ORDER BY "timestamp"`);
    expect(rows).toEqual([{ running: 12 }, { running: null }]);
  });

  test("many at once with the same events in other orders hold nobody up", async () => {
    const events = Array.from({ length: 40 }, (_, at) => (at % 2 === 0 ? eventWith() : auditWith()));
    const deliveries = Array.from({ length: 6 }, (_, turn) => {
      const bodies = turn % 2 === 0 ? events : events.toReversed();
      return deliver(messages(...bodies));
    });
    for (const { acked } of await Promise.all(deliveries)) expect(acked).toHaveLength(40);
  });

  test.each<{ name: string; changed: Partial<AuditEvent>; row: Record<string, unknown> }>([
    {
      name: "the time is not cut",
      changed: { atMs: 1_790_000_000_123 },
      row: { timestamp: new Date(1_790_000_000_123) },
    },
    { name: "NUL", changed: { actor: "a\0b" }, row: { actor: "a\ufffdb" } },
    { name: "half a surrogate pair", changed: { target: "\ud83d" }, row: { target: "\ufffd" } },
    { name: "NUL in the detail", changed: { detail: { "x\0": "y\0" } }, row: { detail: { "x\ufffd": "y\ufffd" } } },
    { name: "an address that is none", changed: { ip: "banana" }, row: { ip: null } },
    {
      name: "longer than an index takes",
      changed: { actor: RANDOM.join("") },
      row: { actor: RANDOM.slice(0, 512).join("") },
    },
    {
      name: "cut within a pair",
      changed: { action: `${"x".repeat(511)}🚇` },
      row: { action: `${"x".repeat(511)}\ufffd` },
    },
  ])("nobody keeps out a row by a name: $name", async ({ changed, row }) => {
    const [odd, good] = [auditWith(changed), auditWith()];
    expect(await deliver([{ event: odd }, { event: good }])).toMatchObject({ acked: ["m0", "m1"], retried: [] });
    expect(await trail([odd])).toEqual([expect.objectContaining(row)]);
    expect(await trail([good])).toHaveLength(1);
  });
});

describe("what will never be a row is a dead letter at once, and the rest of the batch is written", () => {
  const odd = crypto.randomUUID();
  test.each<{ name: string; body: unknown; id: string }>([
    { name: "another kind", body: { event: { ...eventWith(), kind: "x", id: odd }, outbox: null }, id: odd },
    { name: "another version", body: { event: { ...eventWith(), v: 2 }, outbox: null }, id: "" },
    { name: "a missing field", body: { event: { ...eventWith(), userId: undefined }, outbox: null }, id: "" },
    { name: "a negative count", body: { event: { ...eventWith(), promptTokens: -1 }, outbox: null }, id: "" },
    { name: "an id that is no UUID", body: { event: { ...eventWith(), id: "1" }, outbox: null }, id: "1" },
    { name: "an id of another time", body: { event: eventWith({ id: uuidv7({ msecs: 5 }) }), outbox: null }, id: "" },
    { name: "an audit event without an actor", body: { event: { ...auditWith(), actor: undefined } }, id: "" },
    { name: "a nested detail", body: { event: { ...auditWith(), detail: { a: { b: 1 } } }, outbox: null }, id: "" },
    { name: "no envelope", body: eventWith(), id: "message" },
    { name: "an outbox that is none", body: { event: eventWith(), outbox: "over there" }, id: "" },
    { name: "text", body: "hello", id: "message" },
    { name: "NUL", body: "\0", id: "message" },
    { name: "null", body: null, id: "message" },
    { name: "nothing", body: undefined, id: "message" },
    { name: "what JSON cannot say", body: { event: { id: 5n } }, id: "message" },
    { name: "300 kB", body: { event: { id: "x".repeat(300_000) } }, id: "message" },
  ])("$name", async ({ body, id }) => {
    const good = eventWith();
    const messageId = crypto.randomUUID();
    const batch = [{ id: messageId, body, attempts: 3 }, { event: good }];
    expect(await deliver(batch)).toMatchObject({ acked: [messageId, "m1"], retried: [] });
    expect(await ledger([good])).toHaveLength(1);
    const ids = [id === "message" ? messageId : id, eventIdOf(body)].filter((one) => one !== "");
    expect(await deadLetters(...ids)).toEqual([
      expect.objectContaining({
        ...{ queue: "usage", message_id: messageId, attempts: 3 },
        reason: expect.stringContaining("not an event of a known kind and version"),
      }),
    ]);
  });

  test("a letter that comes again is one row", async () => {
    const bad = eventWith({ attempts: -1 });
    await deliver([{ event: bad }, { event: bad }]);
    expect((await deliver([{ event: bad }])).acked).toEqual(["m0"]);
    expect(await deadLetters(bad.id)).toHaveLength(1);
  });

  test("its body is kept as JSON", async () => {
    const bad = eventWith({ attempts: -1, userId: "\0\ud83d🚇" });
    await deliver([{ event: bad }]);
    const [letter] = await deadLetters(bad.id);
    expect(JSON.parse(String(letter?.body))).toEqual({ event: bad, outbox: null });
  });

  test("a value that is too long for an index of the ledger", async () => {
    const [long, good] = [eventWith({ userId: RANDOM.join("") }), eventWith()];
    expect((await deliver(messages(long, good))).acked).toEqual(["m0", "m1"]);
    expect((await ledger([long, good])).map(({ id }) => id)).toEqual([good.id]);
    expect(await deadLetters(long.id)).toHaveLength(1);
  });

  test("rows that the database refuses, of each kind, in a batch of a hundred", async () => {
    await ddl("ALTER TABLE audit_log ADD CONSTRAINT no_poison CHECK (action <> 'poison')");
    await ddl("ALTER TABLE inference_logs ADD CONSTRAINT no_poison CHECK (model <> 'poison')");
    const bad = [eventWith({ model: "poison" }), auditWith({ action: "poison" }), eventWith({ attempts: -1 })];
    const good = Array.from({ length: 97 }, (_, at) => (at % 2 === 0 ? eventWith() : auditWith()));
    try {
      const { acked } = await deliver(messages(...good.slice(0, 50), ...bad, ...good.slice(50)));
      expect(acked).toHaveLength(100);
    } finally {
      await ddl("ALTER TABLE audit_log DROP CONSTRAINT no_poison");
      await ddl("ALTER TABLE inference_logs DROP CONSTRAINT no_poison");
    }
    expect([...(await rowsIn("inference_logs", good)), ...(await rowsIn("audit_log", good))]).toHaveLength(97);
    const letters = await deadLetters(...bad.map(({ id }) => id));
    expect(letters.map(({ reason }) => String(reason)).filter((reason) => reason.includes("no_poison"))).toHaveLength(
      2,
    );
    expect(letters).toHaveLength(3);
  });

  test("events that are good alone and too much together", async () => {
    // Each is within its column, the minute's sum is not within a bigint.
    const dear = Array.from({ length: 1_200 }, () =>
      eventWith({ account: "dear", costMicros: Number.MAX_SAFE_INTEGER }),
    );
    for (let at = 0; at < 1_100; at += 100) await deliver(messages(...dear.slice(at, at + 100)));
    const { acked, retried } = await deliver(messages(...dear.slice(1_100)));
    expect([acked.length, retried.length]).toEqual([100, 0]);
    const rows = await ledger(dear);
    const letters = await deadLetters(...dear.map(({ id }) => id));
    expect(rows.length + letters.length).toBe(1_200);
    expect(letters.length).toBeGreaterThan(0);
    // 2^63 over 2^53.
    expect(rows.length).toBe(1_024);
  });
});

function eventIdOf(body: unknown): string {
  const id =
    body instanceof Object && "event" in body && body.event instanceof Object && "id" in body.event && body.event.id;
  return typeof id === "string" && id.length <= 128 ? id : "";
}

describe("strings and numbers that Postgres would refuse cost no row, nor their neighbours'", () => {
  test.each<{ name: string; changed: Partial<InferenceEvent>; row: Record<string, unknown> }>([
    { name: "NUL", changed: { finishReason: "st\0op" }, row: { finish_reason: "st\ufffdop" } },
    { name: "half a surrogate pair", changed: { finishReason: "\ud83d" }, row: { finish_reason: "\ufffd" } },
    { name: "an address that is none", changed: { ip: "banana" }, row: { ip_address: null } },
    { name: "a network instead of an address", changed: { ip: "10.0.0.0/8" }, row: { ip_address: null } },
    {
      name: "more tokens than an integer holds",
      changed: { completionTokens: 2 ** 31 },
      row: { completion_tokens: 2 ** 31 - 1 },
    },
    {
      name: "more than a double counts exactly",
      changed: { completionTokens: 2 ** 53 - 1 },
      row: { completion_tokens: 2 ** 31 - 1 },
    },
    {
      name: "emoji, right-to-left and quotes",
      changed: { userId: `🚇\u202e'"\\u0000` },
      row: { user_id: `🚇\u202e'"\\u0000` },
    },
    { name: "100 kB", changed: { userId: "x".repeat(100_000) }, row: { user_id: "x".repeat(100_000) } },
  ])("$name", async ({ changed, row }) => {
    const [odd, good] = [eventWith(changed), eventWith()];
    expect(await deliver([{ event: odd }, { event: good }])).toMatchObject({ acked: ["m0", "m1"], retried: [] });
    expect(await ledger([odd])).toEqual([expect.objectContaining(row)]);
    expect(await ledger([good])).toHaveLength(1);
  });
});

describe("with the database down", () => {
  test("every message is kept and none is acknowledged, good or bad", async () => {
    const batch = [{ event: eventWith(), outbox: OUTBOX }, { event: eventWith() }, { body: "unknown" }];
    expect(await deliver(batch, { database: CLOSED_PORT })).toMatchObject({
      ...{ acked: [], retried: ["m0", "m1", "m2"], told: {} },
    });
  });

  test("the delay grows with the attempts", async () => {
    const sent = [1, 2, 3].map((attempts) => ({ event: eventWith(), attempts }));
    expect((await deliver(sent, { database: CLOSED_PORT })).delaysS).toEqual([5, 10, 20]);
    const jittered = await deliver(sent, { database: CLOSED_PORT, random: () => 1 });
    expect(jittered.delaysS).toEqual([4, 8, 15]);
  });

  test("what waits is written once it is back", async () => {
    const event = eventWith();
    await deliver([{ event, attempts: 1 }], { database: CLOSED_PORT });
    expect(await ledger([event])).toEqual([]);
    expect((await deliver([{ event, attempts: 2 }])).acked).toEqual(["m0"]);
    expect(await ledger([event])).toHaveLength(1);
  });
});

describe("with a table that refuses everything for now", () => {
  test("what cannot be written waits, since it is no fault of the message, and the other kinds do not", async () => {
    const [shut, open] = [hostStateWith({ host: "shut" }), eventWith()];
    await whileShut("host_state", "host = 'shut'", async () => {
      expect(await deliver(messages(shut, open))).toMatchObject({ acked: ["m1"], retried: ["m0"] });
    });
    expect(await ledger([open])).toHaveLength(1);
    expect(await deadLetters(shut.id)).toEqual([]);
    expect((await deliver(messages(shut, open))).acked).toEqual(["m0", "m1"]);
  });

  test("dead letters for which there is no place wait, and delay nobody", async () => {
    const [bad, good] = [eventWith({ attempts: -1, route: "shut" }), eventWith()];
    await whileShut("dead_letter", `body LIKE '%"shut"%'`, async () => {
      expect(await deliver(messages(bad, good))).toMatchObject({ acked: ["m1"], retried: ["m0"] });
    });
    expect(await ledger([good])).toHaveLength(1);
    expect((await deliver(messages(bad, good))).acked).toEqual(["m0", "m1"]);
  });
});

/** What a missing right is like, for some rows only: the tests of other files use the same tables. */
async function whileShut(table: string, rows: string, work: () => Promise<void>): Promise<void> {
  await ddl(`
    CREATE FUNCTION shut_${table}() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN RAISE EXCEPTION 'shut' USING ERRCODE = 'insufficient_privilege'; END $$;
    CREATE TRIGGER shut AFTER INSERT ON ${table} FOR EACH ROW WHEN (NEW.${rows}) EXECUTE FUNCTION shut_${table}()`);
  try {
    await work();
  } finally {
    await ddl(`DROP FUNCTION shut_${table} CASCADE`);
  }
}

describe("a message whose retries are used up", () => {
  test("becomes the row that it is, where only an outage was in the way", async () => {
    const [event, bad] = [eventWith(), eventWith({ attempts: -1 })];
    const verdict = await deliver(
      [
        { event, outbox: OUTBOX },
        { event: bad, attempts: 2 },
      ],
      { exhausted: true },
    );
    expect(verdict).toMatchObject({ acked: ["m0", "m1"], told: { [OUTBOX]: [event.id] } });
    expect(await ledger([event])).toHaveLength(1);
    expect(await deadLetters(bad.id)).toEqual([expect.objectContaining({ queue: "usage-dlq", attempts: 2 })]);
  });

  test("becomes a dead letter, where its table refuses it still", async () => {
    const [shut, open] = [hostStateWith({ host: "shut" }), eventWith()];
    await whileShut("host_state", "host = 'shut'", async () => {
      expect((await deliver(messages(shut, open), { exhausted: true })).acked).toEqual(["m0", "m1"]);
    });
    expect(await deadLetters(shut.id)).toEqual([
      expect.objectContaining({ reason: expect.stringMatching(/^retries exhausted: /) }),
    ]);
    expect(await ledger([open])).toHaveLength(1);
  });

  test("waits on, while the database is down", async () => {
    const verdict = await deliver([{ event: eventWith() }], { exhausted: true, database: CLOSED_PORT });
    expect(verdict).toMatchObject({ acked: [], retried: ["m0"] });
  });
});

describe("the outboxes are told what they need not keep", () => {
  test("each its own, dead letters and repeated events too, once it is certain", async () => {
    const [one, two, bad, direct] = [eventWith(), eventWith(), eventWith({ attempts: -1 }), auditWith()];
    const batch = [
      { event: one, outbox: OUTBOX },
      { event: bad, outbox: OUTBOX },
      { event: two, outbox: ANOTHER_OUTBOX },
      { event: direct },
    ];
    const told = { [OUTBOX]: [one.id, bad.id].sort(), [ANOTHER_OUTBOX]: [two.id] };
    expect((await deliver(batch)).told).toEqual(told);
    expect((await deliver(batch)).told).toEqual(told);
  });

  test("of a body that can hardly be read, as much as can be", async () => {
    const sent = [{ body: { event: { id: "some-id" }, outbox: OUTBOX } }, { body: { event: "?", outbox: OUTBOX } }];
    expect((await deliver(sent)).told).toEqual({ [OUTBOX]: ["some-id"] });
  });

  test("only once it is written", async () => {
    const known: unknown[] = [];
    const event = eventWith();
    await deliver([{ event, outbox: OUTBOX }], {
      acknowledge: async () => {
        known.push(...(await ledger([event])));
      },
    });
    expect(known).toHaveLength(1);
  });

  test("one that fails to hear keeps neither the others from hearing nor the message from its ack", async () => {
    const [one, two] = [eventWith(), eventWith()];
    const batch = [
      { event: one, outbox: OUTBOX },
      { event: two, outbox: ANOTHER_OUTBOX },
    ];
    const acknowledge = async (outbox: string): Promise<void> => {
      if (outbox === OUTBOX) throw new Error("overloaded");
    };
    const verdict = await deliver(batch, { acknowledge });
    expect(verdict).toMatchObject({ acked: ["m0", "m1"], told: { [ANOTHER_OUTBOX]: [two.id] } });
  });
});

test("a key's newest use is noted, in whichever order uses come", async () => {
  const keyId = `key_${crypto.randomUUID()}`;
  await query(`
    INSERT INTO api_keys (id, hash, owner, tier, scopes, label, created_at, created_by, expires_at, changed_at)
    VALUES ('${keyId}', '${keyId}', 'o', 'basic', '{inference}', 'l', now(), 'a', now(), now())`);
  for (const atMs of [2_000, 5_000, 3_000]) await deliver([{ event: eventWith({ keyId, atMs }) }]);
  const { rows } = await query(`SELECT last_used_at FROM api_keys WHERE id = '${keyId}'`);
  expect(rows).toEqual([{ last_used_at: new Date(5_000) }]);
});
