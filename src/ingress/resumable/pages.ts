/** The pages of a stream in its object's own SQLite. For an object that has a stream: a table that is only asked for is a file. */
import type { PageMark, Pages } from "./stream-log.ts";

export function pagesIn(sql: SqlStorage): Pages {
  sql.exec(
    `CREATE TABLE IF NOT EXISTS page
      (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, bytes INTEGER NOT NULL, events BLOB NOT NULL)`,
  );
  return {
    marks: () => sql.exec<PageMark>("SELECT first, last, bytes FROM page ORDER BY first").toArray(),
    read: (first) =>
      new Uint8Array(sql.exec<{ events: ArrayBuffer }>("SELECT events FROM page WHERE first = ?", first).one().events),
    put: ({ first, last, bytes }, events) => {
      sql.exec("INSERT INTO page (first, last, bytes, events) VALUES (?, ?, ?, ?)", first, last, bytes, events);
    },
    drop: (first) => {
      sql.exec("DELETE FROM page WHERE first = ?", first);
    },
  };
}
