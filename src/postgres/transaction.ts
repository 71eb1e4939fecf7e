/** Transactions in one round trip each, with no more rights than they need. Knows no table. */
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

/**
 * Tries sets of statements, each as if it were alone, and keeps nothing of them. For finding out which of many rows a
 * database refuses: one round trip and no commit, however many they are.
 *
 * @param role assumed for this transaction only
 * @returns for each set, in order, why the database refuses it; null where it would take it
 */
export async function tryEach(
  session: Session,
  role: DatabaseRole,
  sets: readonly (readonly Statement[])[],
): Promise<unknown[]> {
  // Rolling back to it does not end it, so one serves for all.
  const opening = [session.query("BEGIN"), session.query(ASSUME, [role]), session.query("SAVEPOINT each")];
  const tries = sets.map((statements) => {
    const tried = Promise.all(statements.map(({ text, values }) => session.query(text, [...values])));
    const refusal = tried.then(
      () => null,
      (cause: unknown) => cause,
    );
    return { refusal, undone: session.query("ROLLBACK TO SAVEPOINT each") };
  });
  const end = session.query("ROLLBACK");
  // Where the session breaks, every promise is rejected: each has to be waited for.
  const others = await Promise.allSettled([...opening, ...tries.map(({ undone }) => undone), end]);
  for (const other of others) if (other.status === "rejected") throw other.reason;
  return Promise.all(tries.map(({ refusal }) => refusal));
}
