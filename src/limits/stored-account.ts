/** An account's state in its object's storage: one row, written only where it has changed. */
import { type AccountState, NEW_ACCOUNT, storedAccount } from "./account.ts";

export class StoredAccount {
  readonly #sql: SqlStorage;
  #stored: AccountState | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL)");
  }

  /** The state as it was written last; a new one where there is none. */
  read(): AccountState {
    const [stored] = this.#sql.exec<{ value: string }>("SELECT value FROM state").toArray();
    return stored === undefined ? NEW_ACCOUNT : storedAccount(stored.value);
  }

  /** Writes it, within the caller's transaction. Rows that are only deleted leave it as it is, and each row written is paid for. */
  write(state: AccountState): void {
    if (state === this.#stored) return;
    this.#sql.exec(
      "INSERT INTO state (one, value) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET value = excluded.value",
      JSON.stringify(state),
    );
  }

  /** The transaction is over: this is what is there now. */
  written(state: AccountState): void {
    this.#stored = state;
  }
}
