/**
 * Writing what hosts had to do: the rows of kind `load` in `model_metrics`, one for a host and a moment, of no model. One
 * statement for a batch; a row that is there already is left as it is.
 */
import type { HostLoadEvent } from "#src/usage/event.ts";
import type { Statement } from "./transaction.ts";

// A host is sampled once at a time, so its name and the time are as good as the event's id.
const INSERT = `
  INSERT INTO model_metrics ("timestamp", kind, model, host, running, waiting, kv_usage, in_flight, in_line)
  SELECT to_timestamp("atMs" / 1000), 'load', '', host, running, waiting, "kvUsage", "inFlight", "inLine"
  FROM json_to_recordset($1::json) AS e (
    "atMs" double precision, host text, running integer, waiting integer, "kvUsage" double precision,
    "inFlight" integer, "inLine" integer)
  ON CONFLICT ("timestamp", model, host, kind) DO NOTHING
  RETURNING host`;

/** Inserts events and returns the hosts of those that were new. */
export function hostLoadsInsert(events: readonly HostLoadEvent[]): Statement {
  return { text: INSERT, values: [JSON.stringify(events)] };
}
