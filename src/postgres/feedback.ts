/** Writing `feedback`. One statement for a batch; a row that is there already is left as it is. */
import type { FeedbackEvent } from "#src/usage/event.ts";
import type { Statement } from "./transaction.ts";

const INSERT = `
  INSERT INTO feedback (id, "timestamp", request_id, account, user_id, satisfaction, accuracy, comment)
  SELECT id, to_timestamp("atMs" / 1000), "requestId", account, "userId", satisfaction, accuracy, comment
  FROM json_to_recordset($1::json) AS e (
    id uuid, "atMs" double precision, "requestId" uuid, account text, "userId" text, satisfaction smallint,
    accuracy double precision, comment text)
  ON CONFLICT (id, "timestamp") DO NOTHING
  RETURNING id`;

/** Inserts events and returns the ids that were new. */
export function feedbackInsert(events: readonly FeedbackEvent[]): Statement {
  return { text: INSERT, values: [JSON.stringify(events)] };
}
