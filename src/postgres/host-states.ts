/** Writing `host_state`. One statement for a batch; a row that is there already is left as it is. */
import type { HostStateEvent } from "#src/usage/event.ts";
import type { Statement } from "./transaction.ts";

const INSERT = `
  INSERT INTO host_state (id, "timestamp", host, state, previous, slots, reason)
  SELECT id, to_timestamp("atMs" / 1000), host, state, previous, slots, reason
  FROM json_to_recordset($1::json) AS e (
    id uuid, "atMs" double precision, host text, state text, previous text, slots integer, reason text)
  ON CONFLICT (id, "timestamp") DO NOTHING
  RETURNING id`;

/** Inserts events and returns the ids that were new. */
export function hostStatesInsert(events: readonly HostStateEvent[]): Statement {
  return { text: INSERT, values: [JSON.stringify(events)] };
}
