import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { feedbackInsert } from "#src/postgres/feedback.ts";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import { inSession } from "#src/postgres/session.ts";
import { type Statement, transact } from "#src/postgres/transaction.ts";
import type { FeedbackEvent } from "#src/usage/event.ts";
import { eventWith, feedbackWith } from "#test/support/events.ts";

const write = (...statements: Statement[]) =>
  inSession(env.HYPERDRIVE.connectionString, (session) => transact(session, "causeway_writer", statements));

async function read(relation: string, requestId: string): Promise<Record<string, unknown>[]> {
  const text = `SELECT * FROM ${relation} WHERE request_id = $1`;
  const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [requestId]));
  return rows;
}

describe("a row is its event", () => {
  test.each<{ name: string; changed: Partial<FeedbackEvent>; row: Record<string, unknown> }>([
    { name: "as it came", changed: {}, row: { satisfaction: 8, accuracy: 0.75, comment: null, user_id: "basic-user" } },
    { name: "time to the ms", changed: {}, row: { timestamp: new Date(1_790_000_060_456) } },
    {
      name: "a comment only",
      changed: { satisfaction: null, accuracy: null, comment: `'"🚇\\n` },
      row: { satisfaction: null, accuracy: null, comment: `'"🚇\\n` },
    },
    { name: "the least", changed: { satisfaction: 1, accuracy: 0 }, row: { satisfaction: 1, accuracy: 0 } },
  ])("$name", async ({ changed, row }) => {
    const event = feedbackWith(changed);
    const [inserted] = await write(feedbackInsert([event]));
    expect(inserted?.rows).toEqual([{ id: event.id }]);
    const { id, account } = event;
    expect(await read("feedback", event.requestId)).toEqual([expect.objectContaining({ id, account, ...row })]);
    const [again] = await write(feedbackInsert([event, { ...event, satisfaction: 2 }]));
    expect(again?.rows).toEqual([]);
  });
});

describe("beside its request", () => {
  test("the newest that its own caller gave", async () => {
    const request = eventWith({ account: "ann", model: "a-model" });
    const about = { requestId: request.id, account: "ann" };
    const given = [
      feedbackWith({ ...about, atMs: 2_000, satisfaction: 2 }),
      feedbackWith({ ...about, atMs: 3_000, satisfaction: 9 }),
      feedbackWith({ ...about, atMs: 1_000, satisfaction: 1 }),
      feedbackWith({ ...about, atMs: 4_000, satisfaction: 10, account: "bob" }),
    ];
    await write(inferenceLogsInsert([request], 0), feedbackInsert(given));
    expect(await read("inference_feedback", request.id)).toEqual([
      expect.objectContaining({ ...{ satisfaction: 9, account: "ann", model: "a-model" }, feedback_id: given[1]?.id }),
    ]);
  });

  test("one, of two given in the same millisecond", async () => {
    const request = eventWith();
    const about = { requestId: request.id, account: request.account };
    await write(inferenceLogsInsert([request], 0), feedbackInsert([feedbackWith(about), feedbackWith(about)]));
    expect(await read("inference_feedback", request.id)).toHaveLength(1);
  });

  test("none, where the ledger does not have the request yet", async () => {
    const event = feedbackWith();
    await write(feedbackInsert([event]));
    expect(await read("inference_feedback", event.requestId)).toEqual([]);
  });
});
