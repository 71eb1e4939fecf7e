/**
 * Asking hosts one after the other until one answers. Only before an answer, or its next part, begins: nothing that
 * reached a caller is ever asked for twice. The only I/O is what it is given.
 */
import type { Outcome } from "#src/fleet/outcome.ts";
import { Problem } from "#src/problem.ts";
import type { Refusal } from "./engine-error.ts";
import { startDeadlines } from "./opening-deadlines.ts";

/** A request may cost the fleet this many tries, whatever the number of hosts. */
const MAX_ATTEMPTS = 3;

/** What one host said. */
export type Reply<T> = { readonly kind: "answer"; readonly answer: T } | Refusal;

export type Attempt<C, T> =
  | { readonly kind: "answered"; readonly by: C; readonly answer: T; readonly attempts: number }
  | {
      readonly kind: "rejected" | "failed";
      readonly by: C | null;
      readonly problem: Problem;
      readonly attempts: number;
    }
  | { readonly kind: "client_left"; readonly by: C | null; readonly attempts: number };

/** Whose turn it is. */
export type Next<C> =
  | { readonly kind: "host"; readonly by: C }
  /** Nobody is left, or nobody has room: the reason. */
  | { readonly kind: "none"; readonly problem: Problem }
  | { readonly kind: "client_left" };

export type Hosts<C> = {
  /** The next host; `tried` were asked already. */
  readonly next: (tried: readonly C[]) => Promise<Next<C>>;
  /** How asking one ended that gave no answer. Of one that answered nothing is said here: it is not over yet. */
  readonly over: (by: C, outcome: Outcome) => void;
};

/** What asking another host costs. */
export type Retries = {
  /** Whether one more may be asked; counts it. */
  readonly spend: () => boolean;
  /** There was none to ask, or the one there was could not be. */
  readonly refund: () => void;
};

export type Patience<C> = {
  /** Each host has this long to send its headers; null where they may come with the answer. */
  readonly connectWithinMs: number | null;
  /** Each host has this long to begin its answer; null where nothing tells its beginning. */
  readonly beginWithinMs: number | null;
  /** When all of it must be over, ms since the epoch. */
  readonly untilMs: number;
  /** Whether a failure may be followed by another host. Busy hosts and unable ones have not failed. */
  readonly retries: Retries;
  /** Hosts that were asked before, and must not be again. Those asked here are added. */
  readonly tried: C[];
  /** Aborted when the caller has left. */
  readonly left: AbortSignal;
  readonly now: () => number;
};

/** Asks one host; `reached` is to be called with its headers. The signal ends the exchange, also after it has begun. */
export type AskOne<C, T> = (host: C, signal: AbortSignal, reached: () => void) => Promise<Reply<T>>;

/**
 * Asks each host once until one answers or the request itself is refused.
 *
 * @returns never rejects; where none answered, `failed` with the last host's reason, or with why there was none to ask
 */
export async function attempt<C, T>(hosts: Hosts<C>, ask: AskOne<C, T>, patience: Patience<C>): Promise<Attempt<C, T>> {
  let last: Extract<Attempt<C, T>, { kind: "failed" | "rejected" }> | null = null;
  /** The reason of a host that cannot do what the question needs: told only when no other host was asked. */
  let unable: Problem | null = null;
  let attempts = 0;
  const { tried, untilMs, now } = patience;
  while (attempts < MAX_ATTEMPTS) {
    // A host that says it is busy has done no work: asking another costs the fleet nothing.
    const isRetry = last !== null && last.problem.code !== "host_busy";
    if (last !== null && now() >= untilMs) return last;
    if (last !== null && isRetry && !patience.retries.spend()) return last;
    const next = await hosts.next(tried);
    if (isRetry && next.kind !== "host") patience.retries.refund();
    if (next.kind === "client_left") return { kind: "client_left", by: last?.by ?? null, attempts };
    if (next.kind === "none") {
      if (last !== null) return last;
      if (unable !== null) return { kind: "rejected", by: null, problem: unable, attempts };
      return { kind: "failed", by: null, problem: next.problem, attempts };
    }
    const { by } = next;
    tried.push(by);
    const outcome = await once(by, attempts + 1, ask, patience);
    if (outcome.kind !== "answered") hosts.over(by, asHostsOutcome(outcome));
    if (outcome.kind === "unable") {
      unable ??= outcome.problem;
      if (isRetry) patience.retries.refund();
      continue;
    }
    if (outcome.kind !== "failed") return outcome;
    attempts++;
    last = outcome;
  }
  return last ?? { kind: "failed", by: null, problem: new Problem("no_healthy_host"), attempts };
}

type Ended<C> = Exclude<Attempt<C, unknown>, { kind: "answered" }> | { readonly kind: "unable" };

/** A caller's own error, and its departure, say nothing about the host. */
function asHostsOutcome<C>(ended: Ended<C>): Outcome {
  if (ended.kind !== "failed") return { kind: "neither" };
  const { code, facts } = ended.problem;
  return code === "host_busy" ? { kind: "busy", forMs: (facts.retryAfterS ?? 0) * 1_000 } : { kind: "failed" };
}

async function once<C, T>(
  by: C,
  attempts: number,
  ask: AskOne<C, T>,
  { connectWithinMs, beginWithinMs, untilMs, left, now }: Patience<C>,
): Promise<Attempt<C, T> | { readonly kind: "unable"; readonly problem: Problem }> {
  const deadlines = startDeadlines({
    connectWithinMs,
    beginWithinMs,
    endWithinMs: Math.max(0, untilMs - now()),
    left,
  });
  try {
    const reply = await ask(by, deadlines.signal, deadlines.reached);
    if (reply.kind === "answer") return { kind: "answered", by, answer: reply.answer, attempts };
    return { kind: reply.kind, by, problem: reply.problem, attempts };
  } catch (cause) {
    if (left.aborted) return { kind: "client_left", by, attempts };
    // Thrown before anything was sent: a native host and tools, say. Another host may be able.
    if (cause instanceof Problem && !deadlines.isLate()) return { kind: "unable", problem: cause };
    const problem = deadlines.isLate() ? deadlines.passed() : new Problem("upstream_error", { cause });
    return { kind: "failed", by, problem, attempts };
  } finally {
    // They are for the beginning only: a long stream must outlive them.
    deadlines.stop();
  }
}
