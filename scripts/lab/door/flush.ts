// When bytes of an answer leave cloudflared: at once for streams that it knows by their type, else when its buffer is
// full or the answer is over.
import { Transform } from "node:stream";

/** Types that cloudflared flushes at every write (its `flushableContentTypes`). */
const FLUSHED = ["text/event-stream", "application/grpc", "application/x-ndjson"];
/** The buffer of Go's HTTP/2 server, through which cloudflared writes. */
const BUFFER_BYTES = 4_096;

/**
 * Newer versions flush as well what comes without a Content-Length; the rule here is the stricter one of those before,
 * since a host runs what its operator installed once.
 */
export function isFlushed(contentType: string | undefined): boolean {
  const type = (contentType ?? "").toLowerCase();
  return FLUSHED.some((known) => type.startsWith(known));
}

/** Holds bytes back until the buffer is full. */
export function buffered(): Transform {
  let held = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      held = Buffer.concat([held, chunk]);
      const full = held.length - (held.length % BUFFER_BYTES);
      if (full > 0) this.push(held.subarray(0, full));
      held = held.subarray(full);
      done();
    },
    flush(done) {
      done(null, held.length > 0 ? held : undefined);
    },
  });
}
