/**
 * Whoever a queue message calls runs lines of one batch for a while: a few at once, each claimed, run and reported, until
 * none may be run or time is up. I/O and clock are arguments. A message that comes twice claims no line twice.
 */
import type { Order } from "./batch-store.ts";
import type { Answered } from "./result-line.ts";

/** Afterwards somebody else is called: batches take turns, and the platform ends a consumer after 15 minutes. */
const SLICE_MS = 15_000;
/**
 * Of one lane in one slice. A line is about ten calls of the platform's (claim, lease, ticket, host, ledger, report), and an
 * invocation has 10,000 of them: what comes after the last one fails, and fails its host.
 */
const MOST_LINES = 100;
/**
 * Lines of one invocation at once, whosever they are. Of its connections six may wait for the head of their answer, which
 * comes with the answer's end: a seventh is not sent, and its host would be blamed for its silence. One is for all else.
 */
export const MOST_LANES = 5;
/** A batch that hears nothing for six of these takes the line for lost (`batch.ts`). */
const RENEW_EVERY_MS = 10_000;
/** A result is worth three tries: without it the line is run again. */
const REPORT_RETRY_MS = [0, 500, 3_000];

/** A line that is to be run, once. */
export type HandedOut = Pick<Order, "endpoint" | "principal" | "signedBy" | "residency"> & {
  readonly batch: string;
  readonly line: number;
  /** Minted with the hand-out: whatever is delivered twice, it is one request. */
  readonly requestId: string;
  readonly startedAtMs: number;
  /** JSON. */
  readonly body: string;
};

export type Ports = {
  readonly claim: () => Promise<HandedOut | null>;
  /** Says that the holder lives. False when the line is not wanted any more. */
  readonly renew: (line: HandedOut) => Promise<boolean>;
  /** Never rejects. */
  readonly run: (line: HandedOut, signal: AbortSignal) => Promise<Answered>;
  readonly report: (line: HandedOut, answered: Answered) => Promise<void>;
  readonly rest: (hasMore: boolean) => Promise<void>;
  readonly now: () => number;
};

/** How many lines of each batch may be run at once by whoever is called for so many batches. */
export function lanesFor(batches: number): number {
  return Math.max(1, Math.floor(MOST_LANES / batches));
}

/**
 * Runs lines for a while.
 *
 * @param lanes how many at once, at most
 * @returns when all that were begun have ended; never rejects: what went wrong here is seen by the batch's alarm
 */
export async function runSlice(ports: Ports, lanes: number): Promise<void> {
  const untilMs = ports.now() + SLICE_MS;
  let hasRested = false;
  const rest = async (hasMore: boolean): Promise<void> => {
    if (hasRested) return;
    hasRested = true;
    await ports.rest(hasMore);
  };
  const lane = async (): Promise<void> => {
    // Somebody else goes on at once: a slow line in another lane holds up nobody.
    if ((await runLane(ports, untilMs)) === "time") await rest(true);
  };
  const ended = await Promise.allSettled(Array.from({ length: lanes }, lane));
  for (const end of ended) if (end.status === "rejected") note("batches.lane", end.reason);
  await rest(false).catch((cause: unknown) => note("batches.rest", cause));
}

/** One line after the other. @returns why it stopped */
async function runLane(ports: Ports, untilMs: number): Promise<"time" | "nothing"> {
  for (let lines = 0; lines < MOST_LINES && ports.now() < untilMs; lines++) {
    const line = await ports.claim();
    if (line === null) return "nothing";
    const answered = await runHeld(ports, line);
    await reportHard(ports, line, answered);
  }
  return "time";
}

async function runHeld({ run, renew }: Ports, line: HandedOut): Promise<Answered> {
  const unwanted = new AbortController();
  const beat = setInterval(() => {
    // One that fails is followed by another.
    renew(line).then(
      (isWanted) => void (isWanted || unwanted.abort()),
      () => undefined,
    );
  }, RENEW_EVERY_MS);
  try {
    return await run(line, unwanted.signal);
  } finally {
    clearInterval(beat);
  }
}

async function reportHard({ report }: Ports, line: HandedOut, answered: Answered): Promise<void> {
  for (const waitMs of REPORT_RETRY_MS) {
    await scheduler.wait(waitMs);
    try {
      return await report(line, answered);
    } catch (cause) {
      note("batches.report", cause);
    }
  }
}

function note(at: string, cause: unknown): void {
  console.error(JSON.stringify({ at, cause: String(cause) }));
}
