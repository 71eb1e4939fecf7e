import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { inSession } from "#src/postgres/session.ts";
import { consume } from "#src/usage/consume.ts";
import type { AuditEvent, InferenceEvent } from "#src/usage/event.ts";
import { auditWith } from "#test/support/audit-events.ts";
import { eventWith } from "#test/support/events.ts";
import wranglerToml from "../../wrangler.toml?raw";

const NOW_MS = 1_790_000_009_000;
/** Nothing listens there. */
const CLOSED_PORT = "postgres://nobody:nothing@127.0.0.1:1/none";

type Sent = { readonly id?: string; readonly body: unknown; readonly attempts?: number };

/** Hands a batch to the consumer; its verdict on each message. As on the platform, the first call on a message counts. */
async function deliver(sent: readonly Sent[], database = env.HYPERDRIVE.connectionString) {
  const verdicts = new Map<string, number | "acked">();
  const messages = sent.map(({ id, body, attempts = 1 }, at) => {
    const name = id ?? `m${at}`;
    const decide = (verdict: number | "acked"): void => {
      if (!verdicts.has(name)) verdicts.set(name, verdict);
    };
    return {
      id: name,
      // A queue carries what was serialised.
      body: structuredClone(body),
      attempts,
      ack: () => decide("acked"),
      retry: (options?: QueueRetryOptions) => decide(options?.delaySeconds ?? 0),
    };
  });
  await consume({ messages }, database, NOW_MS);
  const named = (wanted: (verdict: unknown) => boolean): string[] =>
    messages.map(({ id }) => id).filter((id) => wanted(verdicts.get(id)));
  return {
    acked: named((verdict) => verdict === "acked"),
    retried: named((verdict) => typeof verdict === "number"),
    delaysS: messages.map(({ id }) => verdicts.get(id)).filter((verdict) => typeof verdict === "number"),
  };
}

const ledger = (events: readonly InferenceEvent[]) => rowsIn("inference_logs", events);
const trail = (events: readonly AuditEvent[]) => rowsIn("audit_log", events);

async function rowsIn(table: string, events: readonly { id: string }[]): Promise<Record<string, unknown>[]> {
  const text = `SELECT * FROM ${table} WHERE id = ANY ($1::uuid[])`;
  const ids = events.map(({ id }) => id);
  const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [ids]));
  return rows;
}

const command = (text: string) => inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text));

describe("what is delivered is in the ledger once", () => {
  test("a batch", async () => {
    const events = [eventWith({ promptTokens: 3 }), eventWith({ promptTokens: 5 }), eventWith({ promptTokens: 7 })];
    expect(await deliver(events.map((body) => ({ body })))).toMatchObject({ acked: ["m0", "m1", "m2"], retried: [] });
    const rows = await ledger(events);
    expect(rows.map(({ prompt_tokens }) => prompt_tokens).sort()).toEqual([3, 5, 7]);
  });

  test("twice in one batch", async () => {
    const event = eventWith();
    expect(await deliver([{ body: event }, { body: event }])).toMatchObject({ acked: ["m0", "m1"], retried: [] });
    expect(await ledger([event])).toHaveLength(1);
  });

  test("in two batches, and in two at once", async () => {
    const event = eventWith();
    await deliver([{ body: event }]);
    expect((await deliver([{ body: event }])).acked).toEqual(["m0"]);
    const another = eventWith();
    const both = await Promise.all([deliver([{ body: another }]), deliver([{ body: another }])]);
    expect(both.map(({ acked }) => acked)).toEqual([["m0"], ["m0"]]);
    expect(await ledger([event, another])).toHaveLength(2);
  });

  test("an abandoned lease and a late settle share an id: the first to arrive stays", async () => {
    const draft = eventWith({ outcome: "abandoned", estimated: true });
    await deliver([{ body: draft }, { body: { ...draft, outcome: "complete", estimated: false } }]);
    expect((await ledger([draft])).map(({ outcome }) => outcome)).toEqual(["abandoned"]);
  });
});

describe("every kind has its table", () => {
  test("a mixed batch", async () => {
    const [inference, audit] = [
      [eventWith(), eventWith()],
      [auditWith(), auditWith()],
    ];
    const bodies = [...inference, ...audit].map((body) => ({ body }));
    expect(await deliver(bodies)).toMatchObject({ acked: ["m0", "m1", "m2", "m3"], retried: [] });
    expect(await ledger(inference)).toHaveLength(2);
    expect(await trail(audit)).toHaveLength(2);
  });

  test("an audit event delivered twice, in one batch and in the next, is one row", async () => {
    const event = auditWith();
    await deliver([{ body: event }, { body: event }]);
    expect((await deliver([{ body: event }])).acked).toEqual(["m0"]);
    expect(await trail([event])).toHaveLength(1);
  });

  test("one that its table refuses is kept alone, the other kind's rows are written", async () => {
    await command("ALTER TABLE audit_log ADD CONSTRAINT no_poison CHECK (action <> 'poison')");
    const [inference, audit] = [eventWith(), auditWith()];
    try {
      const verdict = await deliver([{ body: auditWith({ action: "poison" }) }, { body: inference }, { body: audit }]);
      expect(verdict).toMatchObject({ acked: ["m1", "m2"], retried: ["m0"] });
    } finally {
      await command("ALTER TABLE audit_log DROP CONSTRAINT no_poison");
    }
    expect(await ledger([inference])).toHaveLength(1);
    expect(await trail([audit])).toHaveLength(1);
  });

  test("many at once with the same events in other orders hold nobody up", async () => {
    const events = Array.from({ length: 40 }, (_, at) => (at % 2 === 0 ? eventWith() : auditWith()));
    const deliveries = Array.from({ length: 6 }, (_, turn) => {
      const bodies = turn % 2 === 0 ? events : events.toReversed();
      return deliver(bodies.map((body) => ({ body })));
    });
    for (const { acked } of await Promise.all(deliveries)) expect(acked).toHaveLength(40);
  });

  // Random, because what repeats is compressed and then fits.
  const RANDOM = Array.from({ length: 20_000 }, () =>
    String.fromCodePoint(0x4e00 + Math.floor(Math.random() * 20_000)),
  );
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
    expect(await deliver([{ body: odd }, { body: good }])).toMatchObject({ acked: ["m0", "m1"], retried: [] });
    expect(await trail([odd])).toEqual([expect.objectContaining(row)]);
    expect(await trail([good])).toHaveLength(1);
  });

  test("a value that is too long for an index of the ledger is kept alone", async () => {
    const good = eventWith();
    const verdict = await deliver([{ body: eventWith({ userId: RANDOM.join("") }) }, { body: good }]);
    expect(verdict).toMatchObject({ acked: ["m1"], retried: ["m0"] });
    expect(await ledger([good])).toHaveLength(1);
  });
});

describe("what the consumer does not know is kept, and the rest of the batch is written", () => {
  test.each<{ name: string; body: unknown }>([
    { name: "another kind", body: { ...eventWith(), kind: "embedding_stored" } },
    { name: "another version", body: { ...eventWith(), v: 2 } },
    { name: "a missing field", body: { ...eventWith(), userId: undefined } },
    { name: "a negative count", body: { ...eventWith(), promptTokens: -1 } },
    { name: "an id that is no UUID", body: { ...eventWith(), id: "1" } },
    { name: "an audit event without an actor", body: { ...auditWith(), actor: undefined } },
    { name: "an audit event with a nested detail", body: { ...auditWith(), detail: { a: { b: 1 } } } },
    { name: "text", body: "hello" },
    { name: "null", body: null },
  ])("$name", async ({ body }) => {
    const good = eventWith();
    expect(
      await deliver([
        { id: "odd", body },
        { id: "good", body: good },
      ]),
    ).toMatchObject({ acked: ["good"], retried: ["odd"] });
    expect(await ledger([good])).toHaveLength(1);
  });
});

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
    expect(await deliver([{ body: odd }, { body: good }])).toMatchObject({ acked: ["m0", "m1"], retried: [] });
    expect(await ledger([odd])).toEqual([expect.objectContaining(row)]);
    expect(await ledger([good])).toHaveLength(1);
  });

  test("a row that the database refuses all the same is kept alone", async () => {
    await command("ALTER TABLE inference_logs ADD CONSTRAINT no_poison CHECK (model <> 'poison')");
    const events = Array.from({ length: 7 }, (_, at) => eventWith(at === 4 ? { model: "poison" } : {}));
    try {
      const verdict = await deliver(events.map((body) => ({ body })));
      expect(verdict).toMatchObject({ acked: ["m0", "m1", "m2", "m3", "m5", "m6"], retried: ["m4"], delaysS: [5] });
    } finally {
      await command("ALTER TABLE inference_logs DROP CONSTRAINT no_poison");
    }
    expect(await ledger(events)).toHaveLength(6);
  });
});

describe("with the database down", () => {
  test("every message is kept and none is acknowledged", async () => {
    const verdict = await deliver([{ body: eventWith() }, { body: eventWith() }], CLOSED_PORT);
    expect(verdict).toMatchObject({ acked: [], retried: ["m0", "m1"] });
  });

  test("the delay grows with the attempts, up to a bound", async () => {
    const attempts = [1, 2, 3, 9, 10, 50, 100];
    const { delaysS } = await deliver(
      attempts.map((attempts) => ({ body: eventWith(), attempts })),
      CLOSED_PORT,
    );
    expect(delaysS).toEqual([5, 10, 20, 1_280, 1_800, 1_800, 1_800]);
  });

  test("what waits is written once it is back", async () => {
    const event = eventWith();
    await deliver([{ body: event, attempts: 1 }], CLOSED_PORT);
    expect(await ledger([event])).toEqual([]);
    expect((await deliver([{ body: event, attempts: 2 }])).acked).toEqual(["m0"]);
    expect(await ledger([event])).toHaveLength(1);
  });
});

test("the configured retries outlast a day without a database", async () => {
  const maxRetries = Number(/^max_retries = (\d+)$/m.exec(wranglerToml)?.[1]);
  // The platform's own bound on retries is 100.
  expect(maxRetries).toBeLessThanOrEqual(100);
  const sent = Array.from({ length: maxRetries }, (_, at) => ({ body: "unknown", attempts: at + 1 }));
  const { delaysS } = await deliver(sent);
  const DAY_S = 86_400;
  expect(delaysS.reduce((sumS, delayS) => sumS + delayS, 0)).toBeGreaterThanOrEqual(DAY_S);
});
