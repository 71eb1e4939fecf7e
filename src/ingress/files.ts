/**
 * `/v1/files`: the input files of batches and what came of them, in OpenAI's shapes. Each account has its own shelf, so a
 * file of somebody else is not there.
 */
import { z } from "zod";
import type { Batches } from "#src/batches/batches.do.ts";
import type { Place } from "#src/batches/file-store.ts";
import { fileObject, pageOf } from "#src/batches/openai-shape.ts";
import { Problem } from "#src/problem.ts";
import { within } from "#src/within.ts";
import type { KnownCall } from "./call.ts";
import { limitField, queryOf, wrongField } from "./fields.ts";
import { guard } from "./guard.ts";
import { uploadOf } from "./upload.ts";

/** An object answers within a few ms, also one that takes in or hands out a large file. */
const SHELF_WITHIN_MS = 15_000;
const RETRY_AFTER_S = 2;
/** Of one account, in one isolate: its 128 MB are everybody's, and a file is held in it twice while it is put away. */
const MOST_UPLOADS = 2;
/** Read at once while content is handed out. */
const PIECE_BYTES = 1_000_000;

const listQuery = z.strictObject({
  after: z.string().nullable().default(null),
  limit: limitField(100, 10_000),
  order: z.enum(["asc", "desc"]).default("desc"),
  purpose: z.string().nullable().default(null),
});

/**
 * Asks the caller's own object.
 *
 * @throws Problem `unavailable` when it cannot be reached
 */
export async function askShelf<T>(
  { env, principal }: KnownCall,
  ask: (shelf: DurableObjectStub<Batches>) => Promise<T>,
): Promise<T> {
  const asked = ask(env.BATCHES.getByName(principal.accountId));
  return within(SHELF_WITHIN_MS, asked).catch((cause: unknown) => {
    throw new Problem("unavailable", { retryAfterS: RETRY_AFTER_S, cause });
  });
}

/**
 * `POST /v1/files`.
 *
 * @throws Problem for a wrong form, `storage_full`, `rate_limit_exceeded` for too many at once, `address_rate_exceeded`
 */
export async function createFile(call: KnownCall): Promise<Response> {
  // Taken no faster than questions are, which cost less here. The penalties were looked at at the door.
  await guard(call.address, "completions", call.env, new Map(), call.arrivedAtMs);
  const { uploads } = call.isolate;
  const { accountId } = call.principal;
  const others = uploads.get(accountId) ?? 0;
  if (others >= MOST_UPLOADS) {
    const message = "You send too many files at once.";
    throw new Problem("rate_limit_exceeded", { message, retryAfterS: RETRY_AFTER_S });
  }
  uploads.set(accountId, others + 1);
  try {
    return await kept(call);
  } finally {
    const left = (uploads.get(accountId) ?? 1) - 1;
    if (left > 0) uploads.set(accountId, left);
    else uploads.delete(accountId);
  }
}

async function kept(call: KnownCall): Promise<Response> {
  const { filename, bytes } = await uploadOf(call.request);
  const id = mintId("file-");
  const file = await askShelf(call, (shelf) => shelf.addFile({ id, filename }, bytes));
  if (file === null) throw new Problem("storage_full");
  return Response.json(fileObject(file));
}

/** `GET /v1/files`, newest first unless it is asked for otherwise. @throws Problem `invalid_value` */
export async function listFiles(call: KnownCall): Promise<Response> {
  const { after, limit, order, purpose } = queryOf(listQuery, call.request.url);
  const files = (await askShelf(call, (shelf) => shelf.files())).map(fileObject);
  const wanted = files.filter((file) => purpose === null || file.purpose === purpose);
  const page = pageOf(order === "asc" ? wanted : wanted.toReversed(), after, limit);
  if (page === null) throw wrongField("after", "there is no such file");
  return Response.json(page);
}

/** `GET /v1/files/{id}`. @throws Problem `file_not_found` */
export async function getFile(call: KnownCall, id: string): Promise<Response> {
  const file = await askShelf(call, (shelf) => shelf.file(id));
  if (file === null) throw new Problem("file_not_found");
  return Response.json(fileObject(file));
}

/** `DELETE /v1/files/{id}`: its content is gone at once. @throws Problem `file_not_found`, `file_in_use` */
export async function deleteFile(call: KnownCall, id: string): Promise<Response> {
  const removed = await askShelf(call, (shelf) => shelf.removeFile(id));
  if (removed === "unknown") throw new Problem("file_not_found");
  if (removed === "in_use") throw new Problem("file_in_use");
  return Response.json({ id, object: "file", deleted: true });
}

/**
 * `GET /v1/files/{id}/content`: the bytes as they came in, read from the object as fast as the caller takes them.
 *
 * @throws Problem `file_not_found`
 */
export async function fileContent(call: KnownCall, id: string): Promise<Response> {
  const readOn = (from: Place) => askShelf(call, (shelf) => shelf.content(id, from, PIECE_BYTES));
  const first = await readOn({ line: 0, part: 0 });
  if (first === null) throw new Problem("file_not_found");
  let ahead: typeof first | null = first;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (ahead === null) throw new Error("the file was deleted while it was read");
        const { bytes, next } = ahead;
        if (bytes.byteLength > 0) controller.enqueue(bytes);
        if (next === null) controller.close();
        else ahead = await readOn(next);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { "content-type": "application/octet-stream" } });
}

/** An id that nobody guesses, in the form of OpenAI's. */
export function mintId(prefix: "file-" | "batch_"): string {
  return prefix + crypto.randomUUID().replaceAll("-", "");
}
