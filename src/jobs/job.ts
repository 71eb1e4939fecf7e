/** What a job is, and what it may reach while it runs. Types only. */
import type { Host } from "#src/catalog/schema.ts";
import type { Session } from "#src/postgres/session.ts";
import type { Period, Schedule } from "./schedule.ts";

/** What an account came to on one day, by its own count. */
export type AccountTotals = {
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
};

export type JobWorld = {
  readonly session: Session;
  readonly now: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** The hosts of the catalog in force. */
  readonly hosts: () => Promise<readonly Host[]>;
  /** A host's `/metrics`. Rejects with what a person understands. */
  readonly expositionOf: (host: Host) => Promise<string>;
  /** What an account itself counted, by day (`YYYY-MM-DD`, UTC). Rejects when it cannot be reached. */
  readonly totalsOf: (account: string) => Promise<Readonly<Record<string, AccountTotals>>>;
  /** The account that an API key's owner has. */
  readonly accountOfKey: (owner: string) => string;
};

/** JSON documents: a few figures for the list of runs, and the whole of it for `reports`. */
export type Outcome = {
  readonly result: Readonly<Record<string, unknown>>;
  readonly report: Readonly<Record<string, unknown>> | null;
};

export type Job = {
  readonly name: string;
  /** For a person, in a few words. */
  readonly does: string;
  readonly schedule: Schedule;
  /** May be repeated at will, and taken up again wherever it was cut off. */
  readonly work: (world: JobWorld, period: Period) => Promise<Outcome>;
};
