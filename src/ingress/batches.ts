/** `/v1/batches`: many requests in one file, answered within 24 hours by what is left over, in OpenAI's shapes. */
import { z } from "zod";
import { permits } from "#src/auth/policy.ts";
import type { Order } from "#src/batches/batch-store.ts";
import { ENDPOINTS } from "#src/batches/input-line.ts";
import { batchObject, pageOf } from "#src/batches/openai-shape.ts";
import { MOST_LANES } from "#src/batches/slice.ts";
import { Problem } from "#src/problem.ts";
import { readJson } from "./body.ts";
import type { KnownCall, ProvenCall } from "./call.ts";
import { limitField, membersOf, queryOf, wrongField } from "./fields.ts";
import { askShelf, mintId } from "./files.ts";
import { tierOf } from "./limits.ts";
import { residencyWish } from "./residency.ts";

/** Sixteen pairs of 64 and 512 characters, every one escaped, and what stands around them. */
const MAX_BODY_BYTES = 128 * 1024;
const MOST_PAIRS = 16;
/** Lines of one batch in flight at once: as many as one invocation of the queue's consumer may run. */
const MOST_PARALLEL = MOST_LANES;

const metadata = z
  .record(z.string().min(1).max(64), z.string().max(512))
  .refine((pairs) => Object.keys(pairs).length <= MOST_PAIRS, `at most ${MOST_PAIRS} pairs`);

const wanted = z.strictObject({
  input_file_id: z.string().min(1).max(64),
  endpoint: z.enum(ENDPOINTS, `one of ${ENDPOINTS.join(", ")}`),
  completion_window: z.literal("24h", "must be 24h"),
  metadata: metadata.nullable().default(null),
});

const listQuery = z.strictObject({ after: z.string().nullable().default(null), limit: limitField(20, 100) });

/**
 * `POST /v1/batches`. The caller's tier, roles and key count as they are now, and so does what it says of residency.
 *
 * @throws Problem for a wrong body, `insufficient_permissions`, `file_not_found`, `storage_full`
 */
export async function createBatch(call: ProvenCall): Promise<Response> {
  const { document } = await readJson(call.request, MAX_BODY_BYTES);
  const { input_file_id: inputFileId, endpoint, metadata: pairs } = membersOf(wanted, document);
  const { principal, proof } = call;
  const scope = endpoint === "/v1/embeddings" ? "embeddings" : "inference";
  if (!permits(principal, { scope })) throw new Problem("insufficient_permissions");
  // Half of what the caller may have in flight is left to the caller itself.
  const parallel = Math.max(1, Math.min(MOST_PARALLEL, Math.floor(tierOf(call).concurrency / 2)));
  const order: Order = {
    id: mintId("batch_"),
    inputFileId,
    outputFileId: mintId("file-"),
    errorFileId: mintId("file-"),
    endpoint,
    metadata: pairs,
    principal,
    signedBy: proof.signedBy,
    residency: residencyWish(call.request),
  };
  const made = await askShelf(call, async (shelf) => shelf.addBatch(order, parallel));
  if (made === "no_file") throw new Problem("file_not_found", { param: "input_file_id" });
  if (made === "full") throw new Problem("storage_full", { message: "You have too many batches or files." });
  return Response.json(batchObject(made));
}

/** `GET /v1/batches`, newest first. @throws Problem `invalid_value` */
export async function listBatches(call: KnownCall): Promise<Response> {
  const { after, limit } = queryOf(listQuery, call.request.url);
  // One more tells whether there are more.
  const batches = await askShelf(call, (shelf) => shelf.batches(after, limit + 1));
  if (batches === null) throw wrongField("after", "there is no such batch");
  return Response.json(pageOf(batches.map(batchObject), null, limit));
}

/** `GET /v1/batches/{id}`. @throws Problem `batch_not_found` */
export async function getBatch(call: KnownCall, id: string): Promise<Response> {
  const batch = await askShelf(call, (shelf) => shelf.batch(id));
  if (batch === null) throw new Problem("batch_not_found");
  return Response.json(batchObject(batch));
}

/**
 * `POST /v1/batches/{id}/cancel`: lines that are running finish, the others are not run.
 *
 * @throws Problem `batch_not_found`, `batch_over`
 */
export async function cancelBatch(call: KnownCall, id: string): Promise<Response> {
  const batch = await askShelf(call, async (shelf) => shelf.cancel(id));
  if (batch === "unknown") throw new Problem("batch_not_found");
  if (batch === "too_late") throw new Problem("batch_over");
  return Response.json(batchObject(batch));
}
