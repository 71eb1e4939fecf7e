/**
 * The files of one account, in its Batches object's SQLite: a row for each file, and its bytes line by line, because a
 * stored value holds 2 MB. Input files are kept as they came, to the byte. Output files grow by a line at a time and are
 * shown when their batch is over.
 */
import { concat } from "#src/bytes.ts";

/** Of one input file. */
export const MOST_LINES = 10_000;
/** Of one input file: an RPC message holds 32 MiB, and two copies of it are in memory while it is parsed. */
export const LARGEST_FILE_BYTES = 20_000_000;
/** What one account may keep here: an object's storage is 10 GB. */
export const MOST_FILES = 100;
export const MOST_BYTES = 2_000_000_000;
/** Platform limit of a stored value: 2 MB. */
const PART_BYTES = 1_000_000;

export type Purpose = "batch" | "batch_output";

export type StoredFile = {
  readonly id: string;
  readonly filename: string;
  readonly purpose: Purpose;
  readonly bytes: number;
  readonly createdAtMs: number;
  /** Its content is deleted then; null while the batch it belongs to goes on. */
  readonly expiresAtMs: number | null;
};
/** Where to read on. */
export type Place = { readonly line: number; readonly part: number };

type Row = {
  id: string;
  filename: string;
  purpose: Purpose;
  bytes: number;
  created_ms: number;
  expires_ms: number | null;
};

const NEWLINE = 0x0a;
const SHOWN = "SELECT id, filename, purpose, bytes, created_ms, expires_ms FROM files WHERE shown = 1";

export class FileStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS files (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, filename TEXT NOT NULL, purpose TEXT NOT NULL,
      bytes INTEGER NOT NULL, lines INTEGER NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER,
      shown INTEGER NOT NULL)`);
    sql.exec(`CREATE TABLE IF NOT EXISTS pieces (
      file TEXT NOT NULL, line INTEGER NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL,
      PRIMARY KEY (file, line, part)) WITHOUT ROWID`);
  }

  /** Whether another file, of so many bytes, is more than an account may keep. */
  isFull(bytes: number): boolean {
    const { files, held } = this.#kept();
    return files >= MOST_FILES || held + bytes > MOST_BYTES;
  }

  /** Whether the files that there are may grow by so many bytes. */
  hasRoom(bytes: number): boolean {
    return this.#kept().held + bytes <= MOST_BYTES;
  }

  #kept(): { files: number; held: number } {
    return this.#sql
      .exec<{ files: number; held: number }>("SELECT COUNT(*) AS files, IFNULL(SUM(bytes), 0) AS held FROM files")
      .one();
  }

  /** Makes an empty file. */
  create(file: Omit<StoredFile, "bytes">, isShown: boolean): void {
    this.#sql.exec(
      `INSERT INTO files (id, filename, purpose, bytes, lines, created_ms, expires_ms, shown)
       VALUES (?, ?, ?, 0, 0, ?, ?, ?)`,
      ...[file.id, file.filename, file.purpose, file.createdAtMs, file.expiresAtMs, isShown ? 1 : 0],
    );
  }

  /** Appends whole lines, each with its line end; the last may have none. */
  append(id: string, bytes: Uint8Array): void {
    const [file] = this.#sql.exec<{ lines: number }>("SELECT lines FROM files WHERE id = ?", id).toArray();
    if (file === undefined) return;
    let line = file.lines;
    for (const text of linesOf(bytes)) {
      line += 1;
      for (let at = 0, part = 0; at < text.byteLength; at += PART_BYTES, part++) {
        const piece = text.slice(at, at + PART_BYTES).buffer;
        this.#sql.exec("INSERT INTO pieces (file, line, part, bytes) VALUES (?, ?, ?, ?)", id, line, part, piece);
      }
    }
    this.#sql.exec("UPDATE files SET lines = ?, bytes = bytes + ? WHERE id = ?", line, bytes.byteLength, id);
  }

  /** A file that its owner may see. */
  get(id: string): StoredFile | null {
    const [row] = this.#sql.exec<Row>(`${SHOWN} AND id = ?`, id).toArray();
    return row === undefined ? null : fileOf(row);
  }

  /** How many bytes a file has, seen or not. */
  sizeOf(id: string): number {
    const [row] = this.#sql.exec<{ bytes: number }>("SELECT bytes FROM files WHERE id = ?", id).toArray();
    return row?.bytes ?? 0;
  }

  /** All that their owner may see, oldest first: bounded by how many there may be. */
  all(): StoredFile[] {
    return this.#sql.exec<Row>(`${SHOWN} ORDER BY seq`).toArray().map(fileOf);
  }

  /** One line, with its line end; null when there is no such line. */
  line(id: string, line: number): Uint8Array | null {
    const rows = this.#sql
      .exec<{ bytes: ArrayBuffer }>("SELECT bytes FROM pieces WHERE file = ? AND line = ? ORDER BY part", id, line)
      .toArray();
    return rows.length === 0 ? null : concat(rows.map(({ bytes }) => new Uint8Array(bytes)));
  }

  /**
   * The content from a place on.
   *
   * @returns about so many bytes, or what a single piece has; and where to read on, null at the end
   */
  content(id: string, from: Place, aboutBytes: number): { bytes: Uint8Array; next: Place | null } {
    const pieces: Uint8Array[] = [];
    let seenBytes = 0;
    for (const { line, part, bytes } of this.#sql.exec<{ line: number; part: number; bytes: ArrayBuffer }>(
      "SELECT line, part, bytes FROM pieces WHERE file = ? AND (line, part) >= (?, ?) ORDER BY line, part",
      ...[id, from.line, from.part],
    )) {
      if (seenBytes >= aboutBytes) return { bytes: concat(pieces), next: { line, part } };
      pieces.push(new Uint8Array(bytes));
      seenBytes += bytes.byteLength;
    }
    return { bytes: concat(pieces), next: null };
  }

  /** From now on its owner sees a file. */
  show(id: string): void {
    this.#sql.exec("UPDATE files SET shown = 1 WHERE id = ?", id);
  }

  /** @param atMs when the content is to be deleted; null for not before something else ends */
  expire(id: string, atMs: number | null): void {
    this.#sql.exec("UPDATE files SET expires_ms = ? WHERE id = ?", atMs, id);
  }

  remove(id: string): void {
    this.#sql.exec("DELETE FROM pieces WHERE file = ?", id);
    this.#sql.exec("DELETE FROM files WHERE id = ?", id);
  }

  /** Deletes what has expired. */
  sweep(nowMs: number): void {
    const gone = this.#sql.exec<{ id: string }>("SELECT id FROM files WHERE expires_ms <= ?", nowMs).toArray();
    for (const { id } of gone) this.remove(id);
  }

  /** When the next file expires; null when none does. */
  nextExpiryMs(): number | null {
    return this.#sql.exec<{ at: number | null }>("SELECT MIN(expires_ms) AS at FROM files").one().at;
  }
}

/** The lines of a text, each with its line end. */
export function* linesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; ) {
    const end = bytes.indexOf(NEWLINE, at);
    const next = end === -1 ? bytes.byteLength : end + 1;
    yield bytes.subarray(at, next);
    at = next;
  }
}

function fileOf({ id, filename, purpose, bytes, created_ms, expires_ms }: Row): StoredFile {
  return { id, filename, purpose, bytes, createdAtMs: created_ms, expiresAtMs: expires_ms };
}
