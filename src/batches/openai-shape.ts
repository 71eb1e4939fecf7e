/** Files and batches as OpenAI's clients read them. Pure. */
import { type Batch, expiresAtMs, isOver } from "./batch.ts";
import type { Ordered } from "./batch-store.ts";
import type { StoredFile } from "./file-store.ts";

export function fileObject({ id, filename, purpose, bytes, createdAtMs, expiresAtMs: untilMs }: StoredFile) {
  const dates = { created_at: seconds(createdAtMs), ...(untilMs === null ? {} : { expires_at: seconds(untilMs) }) };
  return { id, object: "file", bytes, ...dates, filename, purpose, status: "processed" };
}

export function batchObject({ order, batch }: Ordered) {
  const { sinceMs, total, completed, failed, errors } = batch;
  const at = (status: keyof Batch["sinceMs"]) => (sinceMs[status] === undefined ? null : seconds(sinceMs[status]));
  // Results are there when no more of them can come.
  const hasResults = isOver(batch);
  return {
    id: order.id,
    object: "batch",
    endpoint: order.endpoint,
    errors: errors.length === 0 ? null : { object: "list", data: errors },
    input_file_id: order.inputFileId,
    completion_window: "24h",
    status: batch.status,
    output_file_id: hasResults && completed > 0 ? order.outputFileId : null,
    error_file_id: hasResults && failed > 0 ? order.errorFileId : null,
    created_at: seconds(sinceMs.validating),
    in_progress_at: at("in_progress"),
    expires_at: seconds(expiresAtMs(batch)),
    finalizing_at: at("finalizing"),
    completed_at: at("completed"),
    failed_at: at("failed"),
    expired_at: at("expired"),
    cancelling_at: at("cancelling"),
    cancelled_at: at("cancelled"),
    request_counts: { total, completed, failed },
    metadata: order.metadata,
  };
}

/**
 * A page of a list.
 *
 * @param rows all there are, in the order asked for
 * @param after the id that the page begins behind; null for the first page
 * @returns null when there is no such id
 */
export function pageOf<T extends { readonly id: string }>(rows: readonly T[], after: string | null, limit: number) {
  const from = after === null ? 0 : rows.findIndex(({ id }) => id === after) + 1;
  if (after !== null && from === 0) return null;
  const data = rows.slice(from, from + limit);
  const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
  return { object: "list", data, ...ends, has_more: rows.length > from + limit };
}

function seconds(ms: number): number {
  return Math.floor(ms / 1_000);
}
