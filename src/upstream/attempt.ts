/**
 * Asking hosts one after the other until one answers. Only before an answer begins: nothing that reached a caller is ever
 * asked for twice. The only I/O is what it is given.
 */
import type { Outcome } from "#src/fleet/outcome.ts";
import { Problem } from "#src/problem.ts";
import type { Refusal } from "./engine-error.ts";

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

export type Patience = {
  /** Each host has this long to begin its answer. */
  readonly answerWithinMs: number;
  /** Aborted when the caller has left. */
  readonly left: AbortSignal;
};

/**
 * Asks each host once until one answers or the request itself is refused.
 *
 * @param ask asks one host; its signal ends the exchange, and goes on to do so after the answer has begun
 * @returns never rejects; where none answered, `failed` with the last host's reason, or with why there was none to ask
 */
export async function attempt<C, T>(
  hosts: Hosts<C>,
  ask: (host: C, signal: AbortSignal) => Promise<Reply<T>>,
  patience: Patience,
): Promise<Attempt<C, T>> {
  let last: Attempt<C, T> | null = null;
  /** The reason of a host that cannot do what the question needs: told only when no other host was asked. */
  let unable: Problem | null = null;
  let attempts = 0;
  const tried: C[] = [];
  while (attempts < MAX_ATTEMPTS) {
    const next = await hosts.next(tried);
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
  ask: (candidate: C, signal: AbortSignal) => Promise<Reply<T>>,
  { answerWithinMs, left }: Patience,
): Promise<Attempt<C, T> | { readonly kind: "unable"; readonly problem: Problem }> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), answerWithinMs);
  try {
    const reply = await ask(by, AbortSignal.any([left, deadline.signal]));
    if (reply.kind === "answer") return { kind: "answered", by, answer: reply.answer, attempts };
    return { kind: reply.kind, by, problem: reply.problem, attempts };
  } catch (cause) {
    if (left.aborted) return { kind: "client_left", by, attempts };
    // Thrown before anything was sent: a native host and tools, say. Another host may be able.
    if (cause instanceof Problem) return { kind: "unable", problem: cause };
    const code = deadline.signal.aborted ? "upstream_timeout" : "upstream_error";
    return { kind: "failed", by, problem: new Problem(code, { cause }), attempts };
  } finally {
    // The deadline is for the beginning only: a long stream must outlive it.
    clearTimeout(timer);
  }
}
