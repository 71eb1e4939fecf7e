/** What the load is asked to do in one window, and what it saw. */
import type { Directive } from "../engine/directive.ts";

export type Target = {
  readonly url: string;
  /** Taken in turn, one set for each request. */
  readonly headers: readonly Readonly<Record<string, string>>[];
  /** Process groups whose time is counted over the window. */
  readonly groups: readonly number[];
};

export type Job = {
  readonly target: Target;
  readonly stream: boolean;
  /** Requests at once; each is followed by the next. */
  readonly connections: number;
  /** Requests begun by second; null for as many as come through. */
  readonly ratePerS: number | null;
  readonly answer: Directive;
  readonly warmUpMs: number;
  readonly forMs: number;
  /** The window lasts until all that was begun in it is answered, so that nothing is done in vain. Without a rate only. */
  readonly isToEnd?: true;
};

/** In µs; null where nothing was seen. */
export type Spread = { readonly p50: number | null; readonly p99: number | null };

export type Seen = {
  /** Ended well within the window, and ended in another way. */
  readonly requests: number;
  readonly failed: number;
  /** How the first of those that failed did; null when none did. */
  readonly failure: string | null;
  /** Events with a token of the window. */
  readonly events: number;
  readonly windowMs: number;
  /** The contestant's, over the window, in µs of one core. */
  readonly cpuUs: number;
  /** Resident, at the window's end; and that before the load began. */
  readonly bytes: number;
  readonly bytesBefore: number;
  /** From the request to the last byte; of streams to the first token. */
  readonly latencyUs: Spread;
  /** From a token's leaving the engine to its arrival. */
  readonly delayUs: Spread;
  /** How far two tokens' distance is from the engine's gap. */
  readonly jitterUs: Spread;
  /** Streams with a token of the window, and those of them where none was late by 100 ms or more. */
  readonly streams: number;
  readonly stallFree: number;
};
