/** A database of a test file's own, migrated and empty: for what looks at, or lets go of, everything there is. */
import { env } from "cloudflare:workers";
import { inSession, type Session } from "#src/postgres/session.ts";

export type TestDatabase = {
  readonly connectionString: string;
  readonly query: <T>(work: (session: Session) => Promise<T>) => Promise<T>;
  /** Rows of one question, with the types that JSON has. */
  readonly rows: (text: string, values?: readonly unknown[]) => Promise<Record<string, unknown>[]>;
};

/** Makes one; it goes with the server. */
export async function freshDatabase(): Promise<TestDatabase> {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await inSession(env.HYPERDRIVE.connectionString, (session) =>
    session.query(`CREATE DATABASE ${name} TEMPLATE causeway_empty`),
  );
  const connectionString = new URL(`/${name}`, env.HYPERDRIVE.connectionString).href;
  const query: TestDatabase["query"] = (work) => inSession(connectionString, work);
  return {
    connectionString,
    query,
    rows: async (text, values = []) => {
      const { rows } = await query((session) =>
        session.query<{ row: Record<string, unknown> }>(`SELECT to_jsonb(q) AS row FROM (${text}) AS q`, [...values]),
      );
      return rows.map(({ row }) => row);
    },
  };
}

const FILLED = [
  ...["inference_logs", "usage_minute", "usage_day", "model_metrics", "reports", "job_runs"],
  ...["host_state", "feedback", "audit_log", "dead_letter", "api_keys"],
];

/** Removes every row. Much faster than another database; partitions that were made or dropped stay so. */
export async function emptied(database: TestDatabase): Promise<void> {
  await database.query((session) => session.query(FILLED.map((table) => `DELETE FROM ${table}`).join("; ")));
}
