/** Writing `inference_logs`. One statement for a batch; a row that is there already is left as it is. */
import type { InferenceEvent } from "#src/usage/event.ts";
import type { Statement } from "./transaction.ts";

const INSERT = `
  INSERT INTO inference_logs (
    id, request_id, workflow_id, tokens_used, latency_ms, model, user_id, ip_address, "timestamp", cost_estimate,
    key_id, tier, route, host, served_as, prompt_tokens, completion_tokens, saved_tokens, estimated, ttft_ms,
    finish_reason, outcome, attempts, cache, metadata)
  SELECT
    (e ->> 'id')::uuid, (e ->> 'id')::uuid, e ->> 'workflowId',
    (e ->> 'promptTokens')::bigint + (e ->> 'completionTokens')::bigint, (e ->> 'latencyMs')::integer, e ->> 'model',
    e ->> 'userId', (e ->> 'ip')::inet, to_timestamp((e ->> 'atMs')::double precision / 1000),
    (e ->> 'costMicros')::numeric / 1000000,
    e ->> 'keyId', e ->> 'tier', e ->> 'route', e ->> 'host', e ->> 'servedAs', (e ->> 'promptTokens')::integer,
    (e ->> 'completionTokens')::integer, (e ->> 'savedTokens')::integer, (e ->> 'estimated')::boolean,
    (e ->> 'ttftMs')::integer, e ->> 'finishReason', e ->> 'outcome', (e ->> 'attempts')::integer, e ->> 'cache',
    jsonb_build_object('v', e -> 'v', 'recorded_at', to_timestamp($2::double precision / 1000))
  FROM jsonb_array_elements($1::jsonb) AS e
  ON CONFLICT (id) DO NOTHING
  RETURNING id`;

/**
 * Inserts events and returns the ids that were new.
 *
 * @param nowMs when they were recorded, kept in the metadata
 */
export function inferenceLogsInsert(events: readonly InferenceEvent[], nowMs: number): Statement {
  return { text: INSERT, values: [JSON.stringify(events), nowMs] };
}
