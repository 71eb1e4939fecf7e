/**
 * Whoever a queue message calls runs lines of one batch for a while: a few at once, each claimed, run and reported, until
 * none may be run or time is up. I/O and clock are arguments. A message that comes twice claims no line twice.
 */
import type { Order } from "./batch-store.ts";
import type { Answered } from "./result-line.ts";

/** Afterwards somebody else is called: batches take turns, and the platform ends a consumer after 15 minutes. */
const SLICE_MS = 15_000;
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
  while (ports.now() < untilMs) {
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
