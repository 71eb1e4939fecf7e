/** What a failed write was about, and so what helps. Pure. */

export type Trouble =
  /** The row: the database will never take it. */
  | "row"
  /** The database is not there, is busy or ends: later it may take the same row. */
  | "outage"
  /** The schema, rights, or a fault of the database: it may be repaired, and may not. */
  | "other";

/** SQLSTATE classes: data exception, integrity constraint violation, program limit exceeded (too long for an index). */
const ROW = /^(22|23|54)/;
/**
 * Connection exception, transaction rollback (deadlock, serialization), insufficient resources, operator intervention
 * (shutdown, cancelled by a timeout), system error (I/O), lock not available, read-only transaction (a standby), a
 * transaction that was ended for idling or for taking too long.
 */
const OUTAGE = /^(08|40|53|57|58|55P03|25006|25P0[34])/;

/** @param cause what a query or connecting threw */
export function troubleOf(cause: unknown): Trouble {
  const state = sqlState(cause);
  // No answer of the database's: the connection failed, was cut, or took too long.
  if (state === null || OUTAGE.test(state) || isAboutAPartition(cause)) return "outage";
  return ROW.test(state) ? "row" : "other";
}

/**
 * A check constraint that has no name is a partition's bound: somebody made the row's own partition at this very moment,
 * in another way than by ensure_partitions, which does not let that happen.
 */
function isAboutAPartition(cause: unknown): boolean {
  return sqlState(cause) === "23514" && !(cause instanceof Error && "constraint" in cause && cause.constraint);
}

/** For a log line: without the database's own words, which quote the row. */
export function plainCause(cause: unknown): string {
  const state = sqlState(cause);
  return state === null ? String(cause) : `SQLSTATE ${state}`;
}

function sqlState(cause: unknown): string | null {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  // Codes of the system, such as ECONNREFUSED, stand in the same place.
  return /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code) ? code : null;
}
