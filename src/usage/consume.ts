/**
 * The queue's consumer: a batch of events into Postgres by one statement, acknowledged message by message after the
 * commit. Runs in an invocation of its own, beside no request. Deliveries repeat and come in any order; the event's id
 * makes that harmless.
 */

import { insertInferenceLogs } from "#src/postgres/inference-logs.ts";
import { inSession, type Session } from "#src/postgres/session.ts";
import { type InferenceEvent, usageEvent } from "./event.ts";

/** Delays grow from the first to the last; with 100 tries (wrangler.toml) they span more than a day of outage. */
const RETRY_DELAY_S = { first: 5, last: 1_800 };

/** What this stage needs of a queue message. */
type Delivery = Pick<Message<unknown>, "id" | "body" | "attempts" | "ack" | "retry">;

type Known = { readonly delivery: Delivery; readonly event: InferenceEvent };

/**
 * Writes a batch. Never throws: a throw would redeliver every message of the batch without a delay.
 *
 * @param connectionString of the ledger's database
 */
export async function consume(
  batch: { readonly messages: readonly Delivery[] },
  connectionString: string,
  nowMs: number,
): Promise<void> {
  const known: Known[] = [];
  for (const delivery of batch.messages) {
    const parsed = usageEvent.safeParse(delivery.body);
    if (parsed.success) known.push({ delivery, event: parsed.data });
    else retryLater(delivery, `not a known event: ${parsed.error.issues[0]?.path.join(".")}`);
  }
  if (known.length === 0) return;
  try {
    await inSession(connectionString, (session) => write(session, known, nowMs));
  } catch (cause) {
    // Of ack and retry the first call counts: what is written already stays acknowledged.
    for (const { delivery } of known) retryLater(delivery, String(cause));
  }
}

/** One statement for all. Where the database refuses what a row holds, by halves, so that it holds up no other row. */
async function write(session: Session, known: readonly Known[], nowMs: number): Promise<void> {
  try {
    const events = known.map(({ event }) => event);
    await insertInferenceLogs(session, events, nowMs);
    for (const { delivery } of known) delivery.ack();
  } catch (cause) {
    if (!isAboutARow(cause)) throw cause;
    const [first, ...others] = known;
    if (first !== undefined && others.length === 0) return retryLater(first.delivery, String(cause));
    const half = Math.ceil(known.length / 2);
    await write(session, known.slice(0, half), nowMs);
    await write(session, known.slice(half), nowMs);
  }
}

/** SQLSTATE classes 22 (data exception) and 23 (integrity constraint violation). */
function isAboutARow(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && /^2[23]/.test(String(cause.code));
}

function retryLater(delivery: Delivery, cause: string): void {
  const delaySeconds = Math.min(RETRY_DELAY_S.last, RETRY_DELAY_S.first * 2 ** (delivery.attempts - 1));
  console.error(
    JSON.stringify({ at: "usage.consume", message: delivery.id, attempts: delivery.attempts, delaySeconds, cause }),
  );
  delivery.retry({ delaySeconds });
}
