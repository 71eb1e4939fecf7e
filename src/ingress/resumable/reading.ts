/**
 * One reader of a resumable stream, from any event on: what there is, then what comes, to the end. Pull-based, so that a
 * slow reader holds up neither the others nor the host, and without a buffer of its own. It has a heartbeat of its own,
 * because a reader who has left is noticed only by what is written to it.
 */
import { startHeartbeat } from "#src/upstream/heartbeat.ts";
import type { Next } from "./stream-log.ts";

const PING = new TextEncoder().encode(": ping\n\n");

/** What a reader needs of the stream. */
export type Readable = {
  /** The events behind this one; or how the stream ends, with the last words that are said to everyone. */
  next(after: number): Next | { readonly kind: "over"; readonly words: Uint8Array | null };
  /** Resolves when `next` may say something else. */
  changed(): Promise<void>;
  /** Somebody has begun to read. */
  come(after: number): { readonly moved: (last: number) => void; readonly left: () => void };
  /** What is said instead of events that have been forgotten. */
  readonly lost: Uint8Array;
};

type Controller = ReadableStreamDefaultController<Uint8Array>;

/** Reads behind an event. Nobody counts as a reader before the first read, so a stream that never arrived counts for none. */
export function reading(stream: Readable, after: number, heartbeatMs: number): ReadableStream<Uint8Array> {
  let at = after;
  let reader: ReturnType<Readable["come"]> | null = null;
  let stopHeartbeat = (): void => undefined;
  let isWaiting = false;
  let wroteAtMs = 0;
  let over = false;

  const leave = (): void => {
    over = true;
    stopHeartbeat();
    reader?.left();
  };
  const write = (controller: Controller, bytes: Uint8Array): void => {
    wroteAtMs = Date.now();
    controller.enqueue(bytes);
  };
  const end = (controller: Controller, words: Uint8Array | null): void => {
    leave();
    if (words !== null) controller.enqueue(words);
    controller.close();
  };
  const beat = (controller: Controller): void => {
    const isSilent = isWaiting && Date.now() - wroteAtMs >= heartbeatMs / 2;
    // One heartbeat waits at most for a reader who does not read.
    if (!over && isSilent && (controller.desiredSize ?? -1) >= 0) controller.enqueue(PING);
  };
  const begin = (controller: Controller): ReturnType<Readable["come"]> => {
    wroteAtMs = Date.now();
    stopHeartbeat = startHeartbeat(heartbeatMs / 2, () => beat(controller));
    return stream.come(at);
  };

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        reader ??= begin(controller);
        for (;;) {
          const next = stream.next(at);
          if (next.kind === "over") return end(controller, next.words);
          if (next.kind === "forgotten") return end(controller, stream.lost);
          if (next.kind === "events") {
            at = next.last;
            reader.moved(at);
            return write(controller, next.events);
          }
          isWaiting = true;
          await stream.changed();
          isWaiting = false;
          if (over) return;
        }
      },
      cancel: leave,
    },
    { highWaterMark: 0 },
  );
}
