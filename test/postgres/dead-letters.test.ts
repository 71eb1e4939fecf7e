import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { type DeadLetter, deadLettersInsert } from "#src/postgres/dead-letters.ts";
import { inSession } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";

const letterWith = (changed: Partial<DeadLetter> = {}): DeadLetter => ({
  id: crypto.randomUUID(),
  queue: "usage",
  messageId: "a-message",
  body: '{"v":2}',
  reason: "unknown version",
  attempts: 1,
  ...changed,
});

test.each<{ name: string; changed: Partial<DeadLetter>; row: Record<string, unknown> }>([
  { name: "as it is", changed: {}, row: { queue: "usage", message_id: "a-message", body: '{"v":2}', attempts: 1 } },
  {
    name: "quotes, commas, braces, nothing",
    changed: { body: `{"a":"\\"',"}`, reason: "" },
    row: { body: `{"a":"\\"',"}`, reason: "" },
  },
  { name: "the word null", changed: { body: "null", reason: "NULL" }, row: { body: "null", reason: "NULL" } },
  { name: "what Postgres takes in no text", changed: { reason: "\0\ud83d" }, row: { reason: "\ufffd\ufffd" } },
  { name: "a megabyte", changed: { body: "x".repeat(1_000_000) }, row: { body: "x".repeat(1_000_000) } },
])("any text is kept, once: $name", async ({ changed, row }) => {
  const letter = letterWith(changed);
  await inSession(env.HYPERDRIVE.connectionString, async (session) => {
    const [first] = await transact(session, "causeway_writer", [deadLettersInsert([letter, letterWith(), letter])]);
    expect(first?.rows).toHaveLength(2);
    await transact(session, "causeway_writer", [deadLettersInsert([{ ...letter, reason: "another" }])]);
    const { rows } = await session.query("SELECT * FROM dead_letter WHERE id = $1", [letter.id]);
    expect(rows).toEqual([
      expect.objectContaining({ reason: "unknown version", ...row, recorded_at: expect.any(Date) }),
    ]);
  });
});
