/**
 * Whose turn it is for one question, until a host answers: candidates by variant and residency, weighed by what is known,
 * ordered, and a ticket for one of them.
 */
import type { FleetSnapshot } from "#src/fleet/fleet-words.ts";
import { mayServe } from "#src/fleet/health.ts";
import { weightOf } from "#src/fleet/line.ts";
import { orderOf } from "#src/fleet/order.ts";
import type { Outcome } from "#src/fleet/outcome.ts";
import { once, type Ticket, type Turn, takeTicket } from "#src/fleet/ticket.ts";
import { candidatesOf } from "#src/fleet/variants.ts";
import { pairKey } from "#src/fleet/view.ts";
import { counterOf, fleetNow } from "#src/fleet/watch.ts";
import { type Candidate, type Weighed, weigh } from "#src/fleet/weigh.ts";
import { Problem } from "#src/problem.ts";
import type { Hosts, Next } from "#src/upstream/attempt.ts";
import type { Asking, Way } from "./ask-hosts.ts";
import { keptAlive } from "./kept-alive.ts";
import { tierOf } from "./limits.ts";
import { mirrorOnce } from "./mirror-once.ts";
import { NO_PATIENCE, patienceOf } from "./patience.ts";
import { regionOf } from "./region.ts";
import { warmthOf } from "./warmth.ts";

/** A host that this question may be put to, now. */
export type Seat = Candidate & {
  readonly ticket: Ticket;
  /** Of another variant than the caller's own. */
  readonly isFallback: boolean;
  /** When it was asked, ms since the epoch; written down then. */
  askedAtMs: number | null;
};

/** Who is turned away at once hears it within this time; after it there was a place in line (`fleet/ticket.ts`). */
const IN_LINE_FROM_MS = 250;
/** A host that is down comes back with its second good probe, and isolates hear of it 2 s later. */
const COMEBACK_MS = 12_000;

/**
 * The hosts for a question, one after the other.
 *
 * @param kind of a `next part` only the caller's own variant may be the maker; a `second` host must be free
 */
export function hostsFor(asking: Asking, left: AbortSignal, kind: Way<unknown>["kind"]): Hosts<Seat> {
  const { call, question, model, draft, onlyOnPrem } = asking;
  const { isolate, env, principal } = call;
  const { first, fallback } = candidatesOf(call.catalog, model, principal.accountId, onlyOnPrem);
  // What the platform says of a place is an object of its own making, for each request that asks.
  const region = model.strategy === "nearest" ? regionOf(call.request) : [];
  const key = warmthOf(call, question, model);
  const isBackground = call.isBackground === true;
  const { maxWaitMs, ...patience } = isBackground ? NO_PATIENCE : patienceOf(model, call.request.headers);
  const { share, priority } = tierOf(call);
  const weight = weightOf(draft.promptTokens, draft.completionTokens);

  const next = async (tried: readonly Seat[]): Promise<Next<Seat>> => {
    const snapshot = await fleetNow(isolate.fleet, env, call.defer);
    const nowMs = Date.now();
    const view = isolate.fleet.book.view(snapshot.view, nowMs);
    const { needs } = question;
    const untried = ({ host }: Candidate): boolean =>
      (needs === null || host.offers.includes(needs)) && !tried.some((seat) => seat.host.id === host.id);
    const weighed = (candidates: readonly Candidate[]): Weighed[] =>
      weigh(candidates.filter(untried), model.strategy, view, { nowMs, region });
    const rows = [weighed(first), weighed(kind === "next part" ? [] : fallback)];
    const able = rows.find((row) => row.some(({ standing }) => standing !== "out"));
    if (able === undefined) return { kind: "none", problem: noHost(snapshot, rows.flat(), nowMs) };
    const affinity = key === null ? null : { key, nowMs, loads: isolate.loads };
    const counter = counterOf(isolate.fleet, env, call.defer);
    const turn = await takeTicket(counter, {
      id: `${call.requestId}:${++asking.work.turns}`,
      account: principal.accountId,
      model: model.id,
      share,
      priority,
      weight,
      order: orderOf(able, { random: Math.random, affinity }),
      waitedMs: nowMs - call.arrivedAtMs,
      maxWaitMs: kind === "second" ? 0 : Math.max(0, maxWaitMs - (asking.work.linedMs ?? 0)),
      ...patience,
      isBackground,
      left,
    });
    note(asking, turn, Date.now() - nowMs);
    if (turn.kind === "left") return { kind: "client_left" };
    if (turn.kind === "refused") return { kind: "none", problem: turnedAway(turn) };
    if (asking.work.turns === 1) mirrorOnce(asking);
    return { kind: "host", by: seated(asking, turn.ticket, able, able === rows[1]) };
  };
  return { next, over: ({ ticket }, outcome) => ticket.finish(outcome, weightBy(outcome)) };
}

/** Notes for the ledger how long it was waited, and who had the say. */
function note({ work, call }: Asking, turn: Turn, tookMs: number): void {
  const waitedMs = turn.kind === "ticket" ? turn.ticket.waitedMs : tookMs < IN_LINE_FROM_MS ? null : tookMs;
  if (waitedMs !== null) work.linedMs = (work.linedMs ?? 0) + waitedMs;
  const isLost = call.isolate.fleet.lost.untilMs > Date.now();
  work.placedBy = turn.kind === "ticket" ? turn.ticket.placedBy : isLost ? "local" : "fleet";
}

/** A host that failed has made nothing; what one has made that was left behind nobody knows. */
function weightBy({ kind }: Outcome): number | null {
  return kind === "neither" ? null : 0;
}

function seated({ call }: Asking, ticket: Ticket, weighed: readonly Weighed[], isFallback: boolean): Seat {
  const { loads } = call.isolate;
  const { choice } = ticket;
  loads.started(choice, weighed, Date.now());
  const held = keptAlive(ticket, call);
  // A host that was lost in the midst of an answer has ended before the answer does.
  const finish: Ticket["finish"] = once((outcome, weight) => {
    loads.finished(choice);
    held.finish(outcome, weight);
  });
  return { host: choice.host, served: choice.served, isFallback, askedAtMs: null, ticket: { ...ticket, finish } };
}

/** Nobody has room for as long as the caller waits. */
function turnedAway({ because, retryAfterMs }: Extract<Turn, { kind: "refused" }>): Problem {
  const retryAfterS = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  if (because === "out") return new Problem("no_healthy_host", { retryAfterS });
  if (because === "full") return new Problem("host_busy", { retryAfterS, cause: "the line is too long" });
  const message = `Every host is full, and you are asking for more than your share. Please try again in ${retryAfterS}s.`;
  return new Problem("rate_limit_exceeded", { type: "requests", message, retryAfterS, cause: "more than its share" });
}

/** Every host is out: come back when the first of them may be in again. */
function noHost({ view, nextProbeAtMs }: FleetSnapshot, rows: readonly Weighed[], nowMs: number): Problem {
  // None is left that might come back: what must stay at home has no home.
  if (rows.length === 0) return new Problem("no_healthy_host", { headers: { "x-should-retry": "false" } });
  const backAtMs = rows.map(({ host, served }) => {
    const opensAtMs = view.pairs[pairKey(host.id, served.as)]?.openUntilMs ?? 0;
    const isUp = mayServe(view.hosts[host.id]?.state ?? "unknown");
    return isUp && opensAtMs > nowMs ? opensAtMs : nextProbeAtMs + COMEBACK_MS;
  });
  const soonestMs = Math.min(...backAtMs);
  return new Problem("no_healthy_host", { retryAfterS: Math.max(1, Math.ceil((soonestMs - nowMs) / 1_000)) });
}
