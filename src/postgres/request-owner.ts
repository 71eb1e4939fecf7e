/** Whose request an id names: one look at one partition of `inference_logs`. */
import { z } from "zod";
import type { Session } from "./session.ts";
import { transact } from "./transaction.ts";

// A row's time is that of its id, to the millisecond, so only its day's partition is looked at. Hyperdrive keeps answers for
// a minute, a "no such row" too, but none of a statement that asks for now().
const SELECT = `
  SELECT account, now() AS read_at FROM inference_logs
  WHERE id = $1
    AND "timestamp" BETWEEN to_timestamp($2::double precision / 1000) - interval '1 millisecond'
      AND to_timestamp($2::double precision / 1000) + interval '1 millisecond'`;

const ownerRow = z.object({ account: z.string() });

/**
 * The account that made a request.
 *
 * @param mintedAtMs the time in the id
 * @returns null where the ledger has no such request, or none any more
 */
export async function readRequestOwner(session: Session, id: string, mintedAtMs: number): Promise<string | null> {
  const [found] = await transact(session, "causeway_reader", [{ text: SELECT, values: [id, mintedAtMs] }]);
  const [row] = found?.rows ?? [];
  return row === undefined ? null : ownerRow.parse(row).account;
}
