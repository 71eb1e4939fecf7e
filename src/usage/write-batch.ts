/**
 * A batch into the ledger: one statement per kind, all in one transaction. What the database will never take becomes a
 * dead letter in the same one, so that it delays nobody else.
 */
import { apiKeysTouch } from "#src/postgres/api-keys.ts";
import { auditLogInsert } from "#src/postgres/audit-log.ts";
import { type DeadLetter, deadLettersInsert } from "#src/postgres/dead-letters.ts";
import { feedbackInsert } from "#src/postgres/feedback.ts";
import { hostLoadsInsert } from "#src/postgres/host-loads.ts";
import { hostStatesInsert } from "#src/postgres/host-states.ts";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import type { Session } from "#src/postgres/session.ts";
import { type Statement, transact, tryEach } from "#src/postgres/transaction.ts";
import { troubleOf } from "./database-trouble.ts";
import { type UsageEvent, usageEvent } from "./event.ts";

type Kind = UsageEvent["kind"];
type EventOf<K extends Kind> = Extract<UsageEvent, { readonly kind: K }>;
type InsertOf<K extends Kind> = (events: readonly EventOf<K>[], nowMs: number) => Statement;

/** How each kind is written. */
const INSERTS: { readonly [K in Kind]: InsertOf<K> } = {
  inference: inferenceLogsInsert,
  feedback: feedbackInsert,
  audit: auditLogInsert,
  host_state: hostStatesInsert,
  host_load: hostLoadsInsert,
};
/** Every batch writes the tables in this order, so that no two wait for each other in a circle. */
const KINDS = usageEvent.options.map(({ shape }) => shape.kind.value);

/** A message on its way into the ledger; `done` is called when it is there, with what it went in as. */
export type Entry =
  | { readonly kind: "event"; readonly event: UsageEvent; readonly letter: Unexplained; readonly done: Done }
  | { readonly kind: "dead"; readonly letter: DeadLetter; readonly done: Done };
type Done = (as: Entry["kind"]) => void;
/** What an event becomes when it is refused, as far as it is known before. */
type Unexplained = Omit<DeadLetter, "reason" | "body"> & {
  /** The message as JSON. */
  readonly text: () => string;
};
type EventEntry = Extract<Entry, { readonly kind: "event" }>;

export type WriteOptions = {
  readonly nowMs: number;
  /** Why a failure is final for what it is about; null when it may pass. */
  readonly refusal: (cause: unknown) => string | null;
};

/**
 * Writes every entry, as itself or as a dead letter.
 *
 * @throws what the database throws where that may pass; entries whose `done` was called stay written
 */
export async function writeBatch(session: Session, entries: readonly Entry[], options: WriteOptions): Promise<void> {
  try {
    await transact(session, "causeway_writer", statementsOf(entries, options.nowMs));
  } catch (cause) {
    return await writeApart(session, entries, options, cause);
  }
  for (const { kind, done } of entries) done(kind);
}

/** What could not be written together, in parts that can. */
async function writeApart(
  session: Session,
  entries: readonly Entry[],
  options: WriteOptions,
  cause: unknown,
): Promise<void> {
  const events = entries.filter((entry) => entry.kind === "event");
  const dead = entries.filter((entry) => entry.kind === "dead");
  if (troubleOf(cause) === "outage") throw cause;
  if (options.refusal(cause) === null) {
    // Rights or the schema, and perhaps of one table only.
    const kinds = KINDS.map((kind) => events.filter(({ event }) => event.kind === kind));
    const parts = [...kinds, dead].filter(({ length }) => length > 0);
    if (parts.length === 1) throw cause;
    return await writeParts(session, parts, options);
  }
  if (events.length === 0) throw cause;
  const causes = entries.length === 1 ? [cause] : await refusalsOf(session, events, options);
  const judged = events.map((entry, at) => buried(entry, causes[at] ?? null, options));
  if (judged.some(({ kind }) => kind === "dead")) return await writeBatch(session, [...judged, ...dead], options);
  // Each is good alone and all are bad together, such as a sum that overflows.
  for (const entry of [...events, ...dead]) await writeBatch(session, [entry], options);
}

/** @throws the last failure, after every part had its turn */
async function writeParts(
  session: Session,
  parts: readonly (readonly Entry[])[],
  options: WriteOptions,
): Promise<void> {
  const failures: unknown[] = [];
  for (const part of parts) await writeBatch(session, part, options).catch((failure) => failures.push(failure));
  if (failures.length > 0) throw failures.at(-1);
}

/**
 * Why the database refuses each event by itself; null where it does not. In groups first: few are refused, and a hundred
 * tries cost as much as ten batches.
 */
async function refusalsOf(
  session: Session,
  events: readonly EventEntry[],
  { nowMs }: WriteOptions,
): Promise<unknown[]> {
  const tried = (sets: readonly (readonly EventEntry[])[]): Promise<unknown[]> => {
    const inserts = sets.map((set) =>
      insertsOf(
        set.map(({ event }) => event),
        nowMs,
      ),
    );
    return tryEach(session, "causeway_writer", inserts);
  };
  const size = Math.ceil(Math.sqrt(events.length));
  const groups = Array.from({ length: size }, (_, at) => events.slice(at * size, (at + 1) * size));
  const ofGroups = await tried(groups);
  const suspects = groups.flatMap((group, at) => (ofGroups[at] === null ? [] : group));
  const ofSuspects = await tried(suspects.map((suspect) => [suspect]));
  const refusals = new Map(suspects.map((suspect, at) => [suspect, ofSuspects[at]]));
  return events.map((event) => refusals.get(event) ?? null);
}

/** @param cause why the database refuses it; null where it does not */
function buried(entry: EventEntry, cause: unknown, { refusal }: WriteOptions): Entry {
  if (cause === null) return entry;
  const reason = refusal(cause);
  if (reason === null) throw cause;
  const { text, ...letter } = entry.letter;
  return { kind: "dead", letter: { ...letter, body: text(), reason }, done: entry.done };
}

function statementsOf(entries: readonly Entry[], nowMs: number): Statement[] {
  const events = entries.flatMap((entry) => (entry.kind === "event" ? [entry.event] : []));
  const letters = entries.flatMap((entry) => (entry.kind === "dead" ? [entry.letter] : []));
  const uses = events.flatMap((event) =>
    event.kind === "inference" && event.keyId !== null ? [{ id: event.keyId, atMs: event.atMs }] : [],
  );
  return [
    ...insertsOf(events, nowMs),
    ...(letters.length === 0 ? [] : [deadLettersInsert(letters)]),
    // Of a key only its newest use is kept, so an event that is delivered again changes nothing.
    ...(uses.length === 0 ? [] : [apiKeysTouch(uses)]),
  ];
}

function insertsOf(events: readonly UsageEvent[], nowMs: number): Statement[] {
  const kinds = KINDS.filter((kind) => events.some((event) => event.kind === kind));
  return kinds.map((kind) => insertOf(kind, events, nowMs));
}

function insertOf<K extends Kind>(kind: K, events: readonly UsageEvent[], nowMs: number): Statement {
  const isOfKind = (event: UsageEvent): event is EventOf<K> => event.kind === kind;
  return INSERTS[kind](events.filter(isOfKind), nowMs);
}
