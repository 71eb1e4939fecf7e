/**
 * A whole answer that takes long. The platform notices a departed caller only when it writes to it, so once an answer
 * is late its body begins with white space, which JSON allows (RFC 8259, 2), a piece with every heartbeat. The status
 * is 200 from then on: an answer that fails after all sends its error as the document and then breaks the connection,
 * so that nobody takes it for an answer.
 */
import { asProblem, type Problem } from "#src/problem.ts";
import { startHeartbeat } from "./heartbeat.ts";

const SPACE = new TextEncoder().encode(" ");
/** Between the error's text and the break: what is queued when a stream breaks is thrown away. */
const READ_WITHIN_MS = 50;

/**
 * The body of a late answer.
 *
 * @param answering the answer's text; a rejection becomes the error
 * @param hangUp ends the exchange with the host, when the caller has left
 * @param errorOf an error's body in the caller's protocol
 */
export function lateAnswer(
  answering: Promise<string>,
  hangUp: () => void,
  heartbeatMs: number,
  errorOf: (problem: Problem) => object,
): ReadableStream<Uint8Array> {
  const utf8 = new TextEncoder();
  let over = false;
  let stopHeartbeat = (): void => undefined;
  const end = (): void => {
    over = true;
    stopHeartbeat();
  };
  // Nobody else awaits it when the caller leaves before the first read.
  answering.catch(() => undefined);
  const source: UnderlyingSource<Uint8Array> = {
    start(controller) {
      // Nothing piles up for a caller who does not read.
      const beat = (): void => void ((controller.desiredSize ?? -1) >= 0 && controller.enqueue(SPACE));
      stopHeartbeat = startHeartbeat(heartbeatMs, beat);
    },
    async pull(controller) {
      try {
        const text = await answering;
        if (over) return;
        end();
        controller.enqueue(utf8.encode(text));
        controller.close();
      } catch (thrown) {
        if (over) return;
        end();
        controller.enqueue(utf8.encode(JSON.stringify(errorOf(asProblem(thrown)))));
        await scheduler.wait(READ_WITHIN_MS);
        controller.error(thrown);
      }
    },
    cancel() {
      end();
      hangUp();
    },
  };
  // Without a buffer a heartbeat is written at once, and a caller who has left is noticed a beat earlier.
  return new ReadableStream(source, { highWaterMark: 0 });
}
