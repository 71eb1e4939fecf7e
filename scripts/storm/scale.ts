/** How big a storm is and when what happens. Plain numbers; times count from the first request. */
import type { Chances } from "./mischief.ts";

export type Spell = { readonly atMs: number; readonly forMs: number };

export type Scale = {
  readonly requests: number;
  /** They are sent evenly over this time; what cannot be sent then, because nobody listens, is sent later. */
  readonly sendOverMs: number;
  /** Each kill -9 of the Worker's runtime comes at a random instant of so long a time after it began to serve. */
  readonly kills: { readonly count: number; readonly withinMs: number };
  /** Postgres is stopped, and started again. */
  readonly postgresDown: Spell;
  /** Postgres is stopped by signal: it accepts and never answers. */
  readonly postgresFrozen: Spell;
  /** Of deliveries, to come twice; of batches, to lose their consumer between commit and acknowledgement. */
  readonly mischief: Chances;
  /** A lab host is given a fault this often. */
  readonly hostFaultEveryMs: number;
  /** See `OUTBOX_RESEND_MS` in `src/env.ts`. */
  readonly outboxResendMs: number;
  /** After the last request. Covers what the queue and the outboxes wait between their attempts after the outage. */
  readonly quietWithinMs: number;
  readonly progressEveryMs: number;
};

/** Of the requests. */
export const LEAVING = 0.1;
/** Messages that are no events, per request. */
export const POISON = 0.01;

const MINUTE_MS = 60_000;

export const FULL: Scale = {
  requests: 10_000,
  sendOverMs: 10 * MINUTE_MS,
  kills: { count: 20, withinMs: 50_000 },
  postgresDown: { atMs: MINUTE_MS, forMs: 5 * MINUTE_MS },
  postgresFrozen: { atMs: 8 * MINUTE_MS, forMs: 30_000 },
  mischief: { duplicates: 0.1, crashes: 0.05 },
  hostFaultEveryMs: 1_000,
  outboxResendMs: 20_000,
  quietWithinMs: 15 * MINUTE_MS,
  progressEveryMs: 15_000,
};

/**
 * For the tests. The kills come first, because a lease whose holder died is given up 45 s later at the earliest
 * (`src/limits/leases.ts`).
 */
export const SHORT: Scale = {
  requests: 600,
  sendOverMs: 40_000,
  kills: { count: 5, withinMs: 4_000 },
  postgresDown: { atMs: 8_000, forMs: 10_000 },
  postgresFrozen: { atMs: 30_000, forMs: 6_000 },
  // More of them die: there are few batches.
  mischief: { duplicates: 0.1, crashes: 0.3 },
  hostFaultEveryMs: 400,
  outboxResendMs: 5_000,
  quietWithinMs: 3 * MINUTE_MS,
  progressEveryMs: 5_000,
};
