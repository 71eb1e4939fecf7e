// The last requests that reached the engine, for tests that ask what was forwarded. Holds no credential: authorization
// is kept as present or absent only.
import type { IncomingHttpHeaders } from "node:http";

const KEPT = 50;
const SECRET_HEADERS = new Set(["authorization", "x-api-key", "cf-access-client-secret", "cookie"]);

export interface JournalEntry {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | boolean | undefined>>;
  readonly authorization: boolean;
  readonly body: unknown;
  readonly atMs: number;
}

export class Journal {
  #entries: JournalEntry[] = [];

  note(request: { method: string; path: string; headers: IncomingHttpHeaders; body: unknown }, atMs: number): void {
    const { method, path, body } = request;
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, SECRET_HEADERS.has(name) ? true : value]),
    );
    this.#entries.push({ method, path, headers, authorization: "authorization" in headers, body, atMs });
    if (this.#entries.length > KEPT) this.#entries.shift();
  }

  list(): readonly JournalEntry[] {
    return this.#entries;
  }

  clear(): void {
    this.#entries = [];
  }
}
