/** An account's state in its object's storage: one row, written only where it has changed. */
import { type AccountState, NEW_ACCOUNT, storedAccount } from "./account.ts";

export class StoredAccount {
  readonly #storage: Pick<DurableObjectStorage, "sql" | "transactionSync">;
  #stored: AccountState | null = null;

  constructor(storage: Pick<DurableObjectStorage, "sql" | "transactionSync">) {
    this.#storage = storage;
    storage.sql.exec("CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL)");
  }

  /** The state as it was written last; a new one where there is none. */
  read(): AccountState {
    const [stored] = this.#storage.sql.exec<{ value: string }>("SELECT value FROM state").toArray();
    return stored === undefined ? NEW_ACCOUNT : storedAccount(stored.value);
  }

  /**
   * Writes the state and what goes with it, both or neither. Where only other rows change the state's is left alone: each row
   * that is written is paid for.
   *
   * @throws what the storage throws
   */
  write(state: AccountState, further: () => void): void {
    this.#storage.transactionSync(() => {
      if (state !== this.#stored)
        this.#storage.sql.exec(
          "INSERT INTO state (one, value) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET value = excluded.value",
          JSON.stringify(state),
        );
      further();
    });
    this.#stored = state;
  }
}
