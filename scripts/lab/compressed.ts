// An answer that its host compresses although nobody asked for it.
import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { constants, createGzip } from "node:zlib";

/** Where to write what shall reach the caller compressed, write by write; its end ends the answer. */
export function gzipped(res: ServerResponse): Writable {
  const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH });
  gzip.pipe(res);
  res.once("close", () => gzip.destroy());
  return gzip;
}
