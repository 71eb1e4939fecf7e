/**
 * The Worker's end of a resumable stream. The object at the other end may be replaced while its reader is here (a crash,
 * a new version of the Worker): the one that comes after it knows what was stored, so it is asked to go on from the last
 * event that was passed on. Whole events only, so that nothing that is written lands inside one.
 */
import { concat } from "#src/bytes.ts";
import { EventSplitter } from "#src/sse.ts";
import { isNumbered } from "./numbering.ts";

/** An object is back within a moment; one that is not for this often will not be in time. */
const TRIES = 3;
const TRY_AGAIN_AFTER_MS = 250;

type Body = ReadableStream<Uint8Array>;

/**
 * Passes a stream on.
 *
 * @param after the event that it begins behind
 * @param reopen asks for what comes behind an event; null when there is no such stream any more
 * @param lastWords said when nothing can be had any more
 */
export function follow(
  body: Body,
  after: number,
  reopen: (after: number) => Promise<Body | null>,
  lastWords: Uint8Array,
): Body {
  let reader = body.getReader();
  let splitter = new EventSplitter(Number.POSITIVE_INFINITY);
  let at = after;
  let tries = 0;

  const again = async (): Promise<boolean> => {
    while (tries < TRIES) {
      tries += 1;
      try {
        const next = await reopen(at);
        if (next === null) return false;
        reader = next.getReader();
        splitter = new EventSplitter(Number.POSITIVE_INFINITY);
        return true;
      } catch {
        await scheduler.wait(TRY_AGAIN_AFTER_MS);
      }
    }
    return false;
  };
  const part = async (): Promise<ReadableStreamReadResult<Uint8Array> | null> => {
    for (;;) {
      try {
        return await reader.read();
      } catch {
        if (!(await again())) return null;
      }
    }
  };

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        for (;;) {
          const read = await part();
          if (read === null) controller.enqueue(lastWords);
          if (read === null || read.done) return controller.close();
          const events = [...splitter.push(read.value)];
          if (events.length === 0) continue;
          at += events.filter(isNumbered).length;
          return controller.enqueue(concat(events));
        }
      },
      // One that is broken already cannot be told.
      cancel: (reason) => reader.cancel(reason).catch(() => undefined),
    },
    { highWaterMark: 0 },
  );
}
