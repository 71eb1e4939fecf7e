/**
 * The queue's consumer: a batch of events into Postgres by one statement, acknowledged message by message after the
 * commit. Runs in an invocation of its own, beside no request. Deliveries repeat and come in any order; the event's id
 * makes that harmless.
 */

import { insertInferenceLogs } from "#src/postgres/inference-logs.ts";
import { inSession } from "#src/postgres/session.ts";
import { type InferenceEvent, usageEvent } from "./event.ts";

/** Delays grow from the first to the last; with 100 tries (wrangler.toml) they span more than a day of outage. */
const RETRY_DELAY_S = { first: 5, last: 1_800 };

/** What this stage needs of a queue message. */
type Delivery = Pick<Message<unknown>, "id" | "body" | "attempts" | "ack" | "retry">;

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
  const good: { delivery: Delivery; event: InferenceEvent }[] = [];
  for (const delivery of batch.messages) {
    const parsed = usageEvent.safeParse(delivery.body);
    if (parsed.success) good.push({ delivery, event: parsed.data });
    else retryLater(delivery, `not a known event: ${parsed.error.issues[0]?.path.join(".")}`);
  }
  if (good.length === 0) return;
  try {
    await inSession(connectionString, (session) =>
      insertInferenceLogs(
        session,
        good.map(({ event }) => event),
        nowMs,
      ),
    );
    for (const { delivery } of good) delivery.ack();
  } catch (cause) {
    for (const { delivery } of good) retryLater(delivery, String(cause));
  }
}

function retryLater(delivery: Delivery, cause: string): void {
  const delaySeconds = Math.min(RETRY_DELAY_S.last, RETRY_DELAY_S.first * 2 ** (delivery.attempts - 1));
  console.error(
    JSON.stringify({ at: "usage.consume", message: delivery.id, attempts: delivery.attempts, delaySeconds, cause }),
  );
  delivery.retry({ delaySeconds });
}
