/**
 * The names of isolates that may have requests in flight, kept in the Fleet object's storage: one that is new in memory
 * knows by them from whom it has yet to hear. Written when an isolate comes or goes, not with every report.
 */
export class IsolateNames {
  readonly #sql: SqlStorage;
  readonly #names: Set<string>;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec("CREATE TABLE IF NOT EXISTS isolate (name TEXT PRIMARY KEY)");
    const rows = sql.exec<{ name: string }>("SELECT name FROM isolate").toArray();
    this.#names = new Set(rows.map(({ name }) => name));
  }

  all(): readonly string[] {
    return [...this.#names];
  }

  note(name: string): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    this.#sql.exec("INSERT INTO isolate (name) VALUES (?)", name);
  }

  /** Keeps those that are known to be there. */
  keepOnly(isKnown: (name: string) => boolean): void {
    for (const name of this.#names) {
      if (isKnown(name)) continue;
      this.#names.delete(name);
      this.#sql.exec("DELETE FROM isolate WHERE name = ?", name);
    }
  }
}
