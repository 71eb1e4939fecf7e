/**
 * What stands in the bench: something that takes OpenAI's chat completions over HTTP and passes them on to the bench's
 * engine, or the engine itself.
 */
import type { PartSpec, Supervisor } from "#scripts/stack/supervisor.ts";

/** Where contestants are started. */
export type Ring = {
  readonly supervisor: Supervisor;
  /** The engine's base URL, without a path: `http://127.0.0.1:PORT`. Its one model is `MODEL`. */
  readonly engine: string;
  /** A folder that outlives the run, for what must be fetched once. */
  readonly kept: string;
  /** A folder of this run, for configuration. */
  readonly folder: string;
  /** The same program, held to the contestants' core where the system can do that. */
  readonly pinned: (spec: PartSpec) => PartSpec;
  /** Says what goes on, for what takes its time. */
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
};

export type Running = {
  /** What it is, with its version: "nginx 1.26". */
  readonly what: string;
  /** Full URL of its chat completions. */
  readonly url: string;
  /** Sent with every request, besides the type of its body. */
  readonly headers: Readonly<Record<string, string>>;
  /** Header sets of its callers, for one that tells them apart; they are taken in turn, on top of `headers`. */
  readonly callers?: Readonly<Record<Crowd, () => Promise<readonly Readonly<Record<string, string>>[]>>>;
  /** Process groups whose time and memory are its own. */
  readonly groups: readonly number[];
  /** Ends what the ring's supervisor does not know. */
  readonly stop?: () => Promise<void>;
};

/** One busy caller, fifty of them, or one whose every token is new. */
export const CROWDS = ["one", "fifty", "new tokens"] as const;
export type Crowd = (typeof CROWDS)[number];

/** Why it is not in the ring: "nginx is not installed". */
export type Absent = { readonly absent: string };

export type Contestant = {
  /** Short, for tables: "bare workerd". */
  readonly name: string;
  /** Starts it and waits until it answers. What it started ends with the supervisor. */
  readonly start: (ring: Ring) => Promise<Running | Absent>;
};

/** The engine's model. */
export const MODEL = "bench";
