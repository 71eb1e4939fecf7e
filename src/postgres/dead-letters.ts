/** Writing `dead_letter`: what came by a queue and could not be written elsewhere. Takes any text. */
import type { Statement } from "./transaction.ts";

export type DeadLetter = {
  /** The event's id where the body has one, else the message's: a letter that comes again is one row. */
  readonly id: string;
  readonly queue: string;
  readonly messageId: string;
  /** The message as JSON. */
  readonly body: string;
  readonly reason: string;
  /** How often it was delivered. */
  readonly attempts: number;
};

const INSERT = `
  INSERT INTO dead_letter (id, queue, message_id, body, reason, attempts)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[])
  ON CONFLICT (id) DO NOTHING
  RETURNING id`;

/** Inserts letters and returns the ids that were new. */
export function deadLettersInsert(letters: readonly DeadLetter[]): Statement {
  const column = (name: Exclude<keyof DeadLetter, "attempts">) => letters.map((letter) => storable(letter[name]));
  return {
    text: INSERT,
    values: [
      ...[column("id"), column("queue"), column("messageId"), column("body"), column("reason")],
      letters.map(({ attempts }) => attempts),
    ],
  };
}

/** Postgres takes no NUL. (JSON has none: it escapes it.) */
function storable(text: string): string {
  return text.replaceAll("\0", "\ufffd");
}
