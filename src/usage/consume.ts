/**
 * The queue's consumer: a batch of messages into Postgres, acknowledged message by message after the commit, and then to
 * the outboxes that kept the events until now. Runs in an invocation of its own, beside no request. Deliveries repeat and
 * come in any order; the event's id makes that harmless.
 *
 * What the database will never take, and what holds no event that is known here, becomes a dead letter within the same
 * delivery. Everything else that goes wrong is tried again later.
 */
import { inSession } from "#src/postgres/session.ts";
import { plainCause, troubleOf } from "./database-trouble.ts";
import { bodyText, readMessage } from "./read-message.ts";
import { retryDelayS } from "./retry-delay.ts";
import { type Entry, writeBatch } from "./write-batch.ts";

/** What is needed of a queue's message. */
export type Delivery = {
  readonly id: string;
  readonly body: unknown;
  /** From 1 on. */
  readonly attempts: number;
  readonly ack: () => void;
  readonly retry: (options: { readonly delaySeconds: number }) => void;
};
export type Deliveries = { readonly queue: string; readonly messages: readonly Delivery[] };

export type Surroundings = {
  /** Of the ledger's database. */
  readonly connectionString: string;
  /** Tells an outbox, by its Durable Object id, which events it need not keep any longer. */
  readonly acknowledge: (outbox: string, ids: readonly string[]) => Promise<void>;
  readonly now: () => number;
  /** 0 to 1. */
  readonly random: () => number;
};

/** With connecting to a database that accepts and never answers, and with the outboxes: less than 30 s in all. */
const DATABASE_WITHIN_MS = 20_000;

/** Writes a batch. Never throws: a throw would redeliver every message of the batch without a delay. */
export function consume(batch: Deliveries, surroundings: Surroundings): Promise<void> {
  return consumeBatch(batch, surroundings, (cause) => (troubleOf(cause) === "row" ? String(cause) : null));
}

/**
 * Writes a batch of messages whose retries are used up. One that only met an outage becomes the row that it is; what
 * fails for any other reason, a dead letter.
 */
export function consumeExhausted(batch: Deliveries, surroundings: Surroundings): Promise<void> {
  const refusal = (cause: unknown) => (troubleOf(cause) === "outage" ? null : `retries exhausted: ${cause}`);
  return consumeBatch(batch, surroundings, refusal);
}

async function consumeBatch(
  { queue, messages }: Deliveries,
  { connectionString, acknowledge, now, random }: Surroundings,
  refusal: (cause: unknown) => string | null,
): Promise<void> {
  const freed = new Map<string, string[]>();
  const entries = messages.map((delivery) => entryOf(queue, delivery, freed));
  // Repeated deliveries meet in two batches: in the same order they wait, in different ones they deadlock.
  entries.sort((one, other) => (one.letter.id < other.letter.id ? -1 : 1));
  const options = { nowMs: now(), refusal };
  try {
    await inSession(connectionString, (session) => writeBatch(session, entries, options), {
      withinMs: DATABASE_WITHIN_MS,
    });
  } catch (cause) {
    report("usage.consume", { queue, messages: messages.length, cause: plainCause(cause) });
    // Of ack and retry the first call counts: what is written already stays acknowledged.
    for (const delivery of messages) delivery.retry({ delaySeconds: retryDelayS(delivery.attempts, random()) });
  }
  // An outbox that does not hear it sends the event again, and is told again.
  const tell = ([outbox, ids]: [string, string[]]) =>
    acknowledge(outbox, ids).catch((cause: unknown) => report("usage.acknowledge", { outbox, cause: String(cause) }));
  await Promise.all([...freed].map(tell));
}

/** @param freed gets the event's id, by the outbox that keeps it, once the message is done with */
function entryOf(queue: string, delivery: Delivery, freed: Map<string, string[]>): Entry {
  const { id: messageId, body, attempts } = delivery;
  const read = readMessage(body);
  const eventId = read.kind === "event" ? read.event.id : read.id;
  const { outbox } = read;
  const done = (as: Entry["kind"]): void => {
    delivery.ack();
    if (as === "dead") report("usage.dead_letter", { queue, id: letter.id, message: messageId, attempts });
    if (outbox !== null && eventId !== null) freed.set(outbox, [...(freed.get(outbox) ?? []), eventId]);
  };
  const letter = { id: eventId ?? messageId, queue, messageId, attempts };
  // As text only where it is kept: nearly every message is an event, whose text nobody wants.
  const text = () => bodyText(body);
  if (read.kind === "event") return { kind: "event", event: read.event, letter: { ...letter, text }, done };
  return { kind: "dead", letter: { ...letter, body: text(), reason: read.reason }, done };
}

function report(at: string, facts: Record<string, unknown>): void {
  console.error(JSON.stringify({ at, ...facts }));
}
