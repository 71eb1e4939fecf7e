/**
 * What a host still says to a caller who has left. Just behind an event is the moment to hang up: nothing is on its way
 * then that the host counts as handed over and nobody reads, so the ledger has what the host has made.
 */
import type { AnswerStream } from "./answer-stream.ts";

/** What has piled up of the answer is read for so long: in a busy isolate that work is itself the load. */
const CATCH_UP_MS = 50;
/** Then the host's next event is waited for. A host is to stop 300 ms after its caller left, which two writes tell. */
const NEXT_EVENT_MS = 150;
/** Nothing is on its way when two looks in a row find nothing: one alone overtakes what a busy isolate has yet to read. */
const QUIET_LOOKS = 2;
const LOOK_MS = 1;
/** A host that always has more must not hold up its own end, nor anybody else. */
const MOST_READS = 256;

type Reader = Pick<ReadableStreamDefaultReader<Uint8Array>, "read">;

/**
 * Reads what has arrived, and then the host's next event. Resolves when the host should be hung up on.
 *
 * @param pending a read that is on its way; what it brings is pushed here and must be nowhere else
 * @throws what the reader throws
 */
export async function lastWords(
  reader: Reader,
  stream: AnswerStream,
  pending: ReturnType<Reader["read"]> | null,
): Promise<void> {
  let reading = pending;
  let reads = 0;
  let isOver = false;
  /** Whether there was one before `until`. */
  const event = async (until: Promise<void>): Promise<boolean> => {
    if (isOver) return false;
    reading ??= reader.read();
    const part = await Promise.race([reading, until]);
    if (part === undefined) return false;
    reading = null;
    if (!part.done) stream.push(part.value);
    isOver ||= part.done || stream.endedWell || stream.broken !== null || ++reads === MOST_READS;
    return true;
  };
  const isQuiet = async (): Promise<boolean> => {
    const look = scheduler.wait(LOOK_MS);
    let came = false;
    while (await event(look)) came = true;
    return !came;
  };
  void scheduler.wait(CATCH_UP_MS).then(() => {
    isOver = true;
  });
  for (let looks = 0; looks < QUIET_LOOKS; looks = (await isQuiet()) ? looks + 1 : 0) if (isOver) return;
  await event(scheduler.wait(NEXT_EVENT_MS));
}
