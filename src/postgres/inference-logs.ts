/**
 * Writing `inference_logs`. One statement for a batch; a row that is there already is left as it is. The sums of
 * `usage_minute` follow by the table's own trigger, from the rows that were added and in the same transaction.
 */
import type { InferenceEvent } from "#src/usage/event.ts";
import type { Statement } from "./transaction.ts";

const INSERT = `
  INSERT INTO inference_logs (
    id, request_id, workflow_id, prompt, response, tokens_used, latency_ms, model, user_id, ip_address, "timestamp",
    cost_estimate, key_id, tier, route, host, served_as, prompt_tokens, completion_tokens, saved_tokens, estimated,
    ttft_ms, finish_reason, outcome, attempts, cache, account, tenant, trace_id, cached_tokens, queue_wait_ms, host_ms,
    admitted_by, placed_by, price_version, hosts, wasted_tokens, metadata)
  SELECT
    id, id, "workflowId", content ->> 'prompt', content ->> 'response', "promptTokens"::bigint + "completionTokens",
    "latencyMs", model, "userId", ip, to_timestamp("atMs" / 1000), "costMicros"::numeric / 1000000, "keyId", tier, route,
    host, "servedAs", "promptTokens", "completionTokens", "savedTokens", estimated, "ttftMs", "finishReason", outcome,
    attempts, cache, account, tenant, "traceId", "cachedTokens", "queueWaitMs", "hostMs", "admittedBy", "placedBy",
    "priceVersion", coalesce(hosts, '{}'), "wastedTokens",
    jsonb_build_object('v', v, 'recorded_at', to_timestamp($2::double precision / 1000))
  FROM json_to_recordset($1::json) AS e (
    v integer, id uuid, "atMs" double precision, route text, model text, account text, "userId" text, tenant text,
    "keyId" text, tier text, ip inet, "workflowId" text, "traceId" text, host text, "servedAs" text,
    "promptTokens" integer, "completionTokens" integer, "cachedTokens" integer, estimated boolean, "savedTokens" integer,
    "ttftMs" integer, "latencyMs" integer, "queueWaitMs" integer, "hostMs" integer, "finishReason" text, outcome text,
    attempts integer, cache text, "admittedBy" text, "placedBy" text, "costMicros" bigint, "priceVersion" text,
    hosts text[], "wastedTokens" integer, content json)
  ON CONFLICT (id, "timestamp") DO NOTHING
  RETURNING id`;

/**
 * Inserts events and returns the ids that were new.
 *
 * @param nowMs when they were recorded, kept in the metadata
 */
export function inferenceLogsInsert(events: readonly InferenceEvent[], nowMs: number): Statement {
  return { text: INSERT, values: [JSON.stringify(events), nowMs] };
}
