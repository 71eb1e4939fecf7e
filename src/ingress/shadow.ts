/**
 * Shadow copies: some of a model's requests are sent to another host as well, so that it can be tried under real load.
 * Nobody sees the copy's answer and nobody pays for it: no lease, no event, no row in the ledger. It is sent behind the
 * response, only where a slot is free that moment, is never waited for, and what becomes of it touches nobody.
 */
import { readBounded } from "#src/bytes.ts";
import { type Catalog, locationOf, type Model, type Shadow } from "#src/catalog/schema.ts";
import type { Env } from "#src/env.ts";
import type { Outcome } from "#src/fleet/outcome.ts";
import type { Candidate } from "#src/fleet/weigh.ts";
import { type Dialect, dialectOf } from "#src/upstream/dialect.ts";
import { refusalOf } from "#src/upstream/engine-error.ts";
import { post } from "#src/upstream/exchange.ts";
import { type Ask, reach } from "#src/upstream/reach.ts";
import { uuidv7 } from "#src/uuid.ts";
import type { Call } from "./call.ts";
import type { Question } from "./question.ts";

/** The platform ends what runs behind a response after 30 s. */
const WITHIN_MS = 25_000;
const MAX_READ_BYTES = 4 * 1024 * 1024;
const MAX_REFUSAL_BYTES = 64 * 1024;
/** An isolate has 128 MB for everything, and each holds a body of up to 1 MiB. */
const MOST_AT_ONCE = 20;
/** Work that the platform has ended says no word: after this it is not running any more. */
const FORGOTTEN_AFTER_MS = 40_000;

/** Copies under way in this isolate: when each began, ms since the epoch, by its id. */
export type Shadows = Map<string, number>;

/** A slot on a host, which has to be given back. */
export type ShadowTicket = { readonly finish: (outcome: Outcome) => void };

export type Mirroring = {
  readonly running: Shadows;
  /** Takes a slot that is free right now, without waiting in any line; null when there is none. */
  readonly take: (candidate: Candidate) => Promise<ShadowTicket | null>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** From asking to the answer's end; less than the platform allows unless it is said. */
  readonly withinMs?: number;
};

/**
 * Copies one request to its model's shadows, each with the chance that the catalog names. Returns at once and never
 * throws. Not for answers from the cache: no host was asked for those.
 *
 * @param onlyOnPrem what must stay on the premises is not copied to the cloud either
 */
export function mirror(
  call: Pick<Call, "env" | "catalog" | "defer">,
  question: Question,
  model: Model,
  onlyOnPrem: boolean,
  mirroring: Mirroring,
): void {
  for (const shadow of model.shadow) {
    if (mirroring.random() >= shadow.sample) continue;
    const candidate = candidateOf(call.catalog, shadow, onlyOnPrem);
    if (candidate !== null && mayAnswer(candidate, question))
      call.defer(copy(call.env, question, model, candidate, mirroring));
  }
}

function mayAnswer({ host }: Candidate, { needs }: Question): boolean {
  return needs === null || host.offers.includes(needs);
}

function candidateOf({ hosts }: Pick<Catalog, "hosts">, shadow: Shadow, onlyOnPrem: boolean): Candidate | null {
  const host = hosts.find(({ id }) => id === shadow.host);
  if (host === undefined || (onlyOnPrem && locationOf(host) === "cloud")) return null;
  const { sample: _chance, ...place } = shadow;
  return { host, served: { ...place, enabled: true } };
}

async function copy(
  env: Env,
  question: Question,
  model: Model,
  candidate: Candidate,
  { running, take, withinMs = WITHIN_MS }: Mirroring,
): Promise<void> {
  // The response goes first: making the copy's body takes time that its caller would wait for.
  await scheduler.wait(0);
  const startedAtMs = Date.now();
  for (const [id, sinceMs] of running) if (startedAtMs - sinceMs > FORGOTTEN_AFTER_MS) running.delete(id);
  if (running.size >= MOST_AT_ONCE) return;
  // Its own: by the original's it could be traced to a caller, and hosts would count one request twice.
  const id = uuidv7(startedAtMs);
  running.set(id, startedAtMs);
  const note = (cause: unknown): void =>
    console.error(
      JSON.stringify({ at: "shadow", id, model: model.id, host: candidate.host.id, cause: describe(cause) }),
    );
  try {
    const { host, served } = candidate;
    const dialect = dialectOf(host, model, served, question, id, startedAtMs);
    const ask = reach(host, env, fetch);
    const ticket = await take(candidate);
    if (ticket === null) return;
    const { outcome, cause } = await exchange(ask, dialect, question.stream, id, withinMs);
    ticket.finish(outcome);
    if (cause !== null) note(cause);
  } catch (cause) {
    note(cause);
  } finally {
    running.delete(id);
  }
}

type Ended = { readonly outcome: Outcome; readonly cause: unknown };

const NEITHER: Outcome = { kind: "neither" };

/** Asks, reads the answer and throws it away. Never rejects. */
async function exchange(ask: Ask, dialect: Dialect, stream: boolean, id: string, withinMs: number): Promise<Ended> {
  const deadline = AbortSignal.timeout(withinMs);
  const hangUp = new AbortController();
  let begun = false;
  try {
    const accept = stream ? "text/event-stream" : "application/json";
    const signal = AbortSignal.any([deadline, hangUp.signal]);
    const response = await post(ask, dialect, { requestId: id, traceparent: null }, accept, signal);
    begun = true;
    if (response.status !== 200) return await refused(response);
    if (await drained(response.body)) return { outcome: { kind: "ok", ttftMs: null, tokensPerS: null }, cause: null };
    return { outcome: NEITHER, cause: `more than ${MAX_READ_BYTES} bytes` };
  } catch (cause) {
    // One that is still at it when time is up has done nothing wrong.
    return { outcome: begun && deadline.aborted ? NEITHER : { kind: "failed" }, cause };
  } finally {
    hangUp.abort();
  }
}

async function refused(response: Response): Promise<Ended> {
  const bytes = await readBounded(response, MAX_REFUSAL_BYTES);
  const text = new TextDecoder().decode(bytes ?? new Uint8Array(0));
  const { kind, problem } = refusalOf(response.status, response.headers, text, Date.now());
  const cause = problem.facts.cause;
  if (kind === "rejected") return { outcome: NEITHER, cause };
  if (problem.code !== "host_busy") return { outcome: { kind: "failed" }, cause };
  return { outcome: { kind: "busy", forMs: (problem.facts.retryAfterS ?? 0) * 1_000 }, cause };
}

/** Whether the body ended within bounds; what is over them is not read. */
async function drained(body: ReadableStream<Uint8Array> | null): Promise<boolean> {
  let seenBytes = 0;
  for await (const piece of body ?? []) {
    seenBytes += piece.byteLength;
    if (seenBytes > MAX_READ_BYTES) return false;
  }
  return true;
}

/** Without what a host said: it may quote the prompt. */
function describe(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}
