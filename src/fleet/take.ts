/** What is asked of the pool for one request, and what it says. */
import type { Waiter } from "./line.ts";

export type TakeRequest = Omit<Waiter, "sinceMs"> & {
  readonly isolate: string;
  /** A shadow copy: it takes what is left over, and counts as nobody's demand. */
  readonly isCopy?: boolean;
  /** For the record of decisions. */
  readonly model: string;
  /** How long it waits already: it was tried at another host before. */
  readonly waitedMs: number;
  /** How long the caller bears to wait, from now on. 0: not at all. */
  readonly maxWaitMs: number;
  /** Whether that may be cut while the pool is overloaded: nobody has asked for it in particular. */
  readonly mayCutWait: boolean;
  readonly maxWaiting: number;
};

export type Answer =
  | { readonly kind: "granted"; readonly host: string }
  | { readonly kind: "waiting" }
  | {
      readonly kind: "refused";
      /**
       * `share`: the caller asks for more than its share; `full`: everybody would wait for longer than is borne; `out`: no
       * host takes anything, which the asking isolate has not heard yet.
       */
      readonly because: "full" | "share" | "out";
      readonly retryAfterMs: number;
    };

/** Whose turn has come, with its host; null for who must ask again, because no host takes anything any more. */
export type Called = { readonly id: string; readonly host: string | null };
