/** One transaction in one round trip, with no more rights than it needs. Knows no table. */
import type { QueryResult } from "pg";
import type { Session } from "./session.ts";

/** What may be done: add rows to the ledger and the audit trail, or read. See migration 0002. */
export type DatabaseRole = "causeway_writer" | "causeway_reader";

export type Statement = { readonly text: string; readonly values: readonly unknown[] };

/** Where the role is missing, or is not this user's to assume, its own rights have to do: the migration says so. */
const ASSUME = `
  SELECT set_config('role', rolname, true) FROM pg_roles
  WHERE rolname = $1
    AND pg_has_role(oid, CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)`;

/**
 * Runs statements that do not need one another's results, all or none of them.
 *
 * They go out together with what opens and ends the transaction. After one that fails the database refuses the others
 * and makes the COMMIT a ROLLBACK, so the session can be used further.
 *
 * @param role assumed for this transaction only
 * @returns one result per statement, in order
 * @throws DatabaseError of the first statement that failed
 */
export async function transact(
  session: Session,
  role: DatabaseRole,
  statements: readonly Statement[],
): Promise<QueryResult<Record<string, unknown>>[]> {
  const [, , ...results] = await Promise.all([
    session.query("BEGIN"),
    session.query(ASSUME, [role]),
    ...statements.map(({ text, values }) => session.query<Record<string, unknown>>(text, [...values])),
    session.query("COMMIT"),
  ]);
  return results.slice(0, statements.length);
}
