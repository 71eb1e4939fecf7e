/**
 * The queue's consumer: a batch of events into Postgres by one statement for each kind, all in one transaction,
 * acknowledged message by message after the commit. Runs in an invocation of its own, beside no request. Deliveries
 * repeat and come in any order; the event's id makes that harmless.
 */

import { apiKeysTouch } from "#src/postgres/api-keys.ts";
import { auditLogInsert } from "#src/postgres/audit-log.ts";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import { inSession, type Session } from "#src/postgres/session.ts";
import { type Statement, transact } from "#src/postgres/transaction.ts";
import { type UsageEvent, usageEvent } from "./event.ts";

type Kind = UsageEvent["kind"];
type EventOf<K extends Kind> = Extract<UsageEvent, { readonly kind: K }>;
type InsertOf<K extends Kind> = (events: readonly EventOf<K>[], nowMs: number) => Statement;

/** How each kind is written. */
const INSERTS: { readonly [K in Kind]: InsertOf<K> } = {
  inference: inferenceLogsInsert,
  audit: auditLogInsert,
};
/** Every batch writes the tables in this order, so that no two wait for each other in a circle. */
const KINDS = usageEvent.options.map(({ shape }) => shape.kind.value);

/** Delays grow from the first to the last; with 100 tries (wrangler.toml) they span more than a day of outage. */
const RETRY_DELAY_S = { first: 5, last: 1_800 };

/** What this stage needs of a queue message. */
type Delivery = Pick<Message<unknown>, "id" | "body" | "attempts" | "ack" | "retry">;

type Known = { readonly delivery: Delivery; readonly event: UsageEvent };

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
  // Repeated deliveries meet in two batches: in the same order they wait, in different ones they deadlock.
  known.sort((one, other) => one.event.id.localeCompare(other.event.id));
  try {
    await inSession(connectionString, (session) => write(session, known, nowMs));
  } catch (cause) {
    // Of ack and retry the first call counts: what is written already stays acknowledged.
    for (const { delivery } of known) retryLater(delivery, String(cause));
  }
}

/** One transaction for all. Where the database refuses what a row holds, by halves, so that it holds up no other row. */
async function write(session: Session, known: readonly Known[], nowMs: number): Promise<void> {
  try {
    await transact(session, "causeway_writer", statementsOf(known, nowMs));
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

function statementsOf(known: readonly Known[], nowMs: number): Statement[] {
  const events = known.map(({ event }) => event);
  const inserts = KINDS.filter((kind) => events.some((event) => event.kind === kind)).map((kind) =>
    insertOf(kind, events, nowMs),
  );
  const uses = events.flatMap((event) =>
    event.kind === "inference" && event.keyId !== null ? [{ id: event.keyId, atMs: event.atMs }] : [],
  );
  // Of a key only its newest use is kept, so an event that is delivered again changes nothing.
  return uses.length === 0 ? inserts : [...inserts, apiKeysTouch(uses)];
}

function insertOf<K extends Kind>(kind: K, events: readonly UsageEvent[], nowMs: number): Statement {
  const isOfKind = (event: UsageEvent): event is EventOf<K> => event.kind === kind;
  return INSERTS[kind](events.filter(isOfKind), nowMs);
}

/**
 * SQLSTATE classes 22 (data exception), 23 (integrity constraint violation) and 54 (program limit exceeded: a value too
 * long for an index).
 */
function isAboutARow(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && /^(2[23]|54)/.test(String(cause.code));
}

function retryLater(delivery: Delivery, cause: string): void {
  const delaySeconds = Math.min(RETRY_DELAY_S.last, RETRY_DELAY_S.first * 2 ** (delivery.attempts - 1));
  console.error(
    JSON.stringify({ at: "usage.consume", message: delivery.id, attempts: delivery.attempts, delaySeconds, cause }),
  );
  delivery.retry({ delaySeconds });
}
