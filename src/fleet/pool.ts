/**
 * The pool's one decision: who may use which slot now, who waits, and who is told to come back. Never more in flight on a
 * host than its capacity. No I/O; the clock is an argument; whose turn has come is read from `turns`.
 */
import type { Crowd } from "./crowd.ts";
import { Crowds } from "./crowds.ts";
import { type Decision, Decisions } from "./decision.ts";
import { Forecast, standingBoundMs, waitMs } from "./forecast.ts";
import { Holdings, type HoldingsReport } from "./holdings.ts";
import { Line, type Waiter } from "./line.ts";
import { add, type Gathered, NO_OUTCOMES, type Outcome } from "./outcome.ts";
import type { Pair } from "./pair.ts";
import { Signals } from "./signals.ts";
import type { Answer, Called, TakeRequest } from "./take.ts";

/** Part of a host's free slots that an isolate is given in advance: so many isolates may come before one is left dry. */
const SPARE_PART = 4;
/** And so many more than it uses now: one that is idle keeps hardly any from the others, */
const SPARE_BEYOND_USE = 2;
/** but on a host with much room a burst need not ask for each slot: then it is one free slot of so many. */
const SPARE_AT_REST_PART = 16;

/** Who waits asks every 2 s whether its turn has come: one that missed three has gone. */
const ASKS_WITHIN_MS = 6_000;
/** For so long after an overload nobody's debt is forgiven: the next one may be the same. */
const OWED_FOR_MS = 3_000;
/** A host that is down or draining is out until its second good probe, or for as long as an operator wants. */
const SHUT_FOR_MS = 20_000;
/** SDKs read 0 as "at once". */
const LEAST_RETRY_AFTER_MS = 1_000;
const DECISIONS_KEPT = 100;

export class Pool {
  readonly holdings = new Holdings();
  readonly signals = new Signals();
  readonly line = new Line();
  readonly #forecast = new Forecast();
  /** Hosts where nothing new may start: down, or draining. */
  #shut: ReadonlySet<string> = new Set();
  readonly #waiting = new Map<string, { readonly request: TakeRequest; heardAtMs: number }>();
  readonly #weights = new Map<string, Pick<Waiter, "account" | "share" | "weight">>();
  #turns: Called[] = [];
  readonly #crowds = new Crowds();
  #overloadedAtMs = Number.NEGATIVE_INFINITY;
  readonly decisions = new Decisions(DECISIONS_KEPT);

  /** Those who were called since the last look. */
  turns(): readonly Called[] {
    const turns = this.#turns;
    this.#turns = [];
    return turns;
  }

  shut(hosts: ReadonlySet<string>, nowMs: number): void {
    this.#shut = hosts;
    this.#serveAll(nowMs);
    for (const [id, { request }] of this.#waiting)
      if (this.#outMs(request.pairs, nowMs) !== null) this.#turns.push({ id, host: null });
  }

  /** One request for a slot; asked again with the same id, the answer is where it stands by now. */
  take(request: TakeRequest, nowMs: number): Answer {
    const host = this.holdings.hostOf(request.id);
    if (host !== undefined) return { kind: "granted", host };
    const waiting = this.#waiting.get(request.id);
    const outMs = this.#outMs(request.pairs, nowMs);
    if (outMs !== null) {
      if (waiting !== undefined) this.leave(request.id, nowMs);
      return this.#refuse(request, "out", outMs, nowMs);
    }
    if (waiting !== undefined) {
      waiting.heardAtMs = nowMs;
      return this.#look(request, nowMs);
    }
    if (request.isCopy === true) return this.#copy(request, nowMs);
    const crowd = this.#crowds.of(request.pairs);
    const servedPerMs = this.#forecast.servedPerMs(request.pairs);
    const isOverloaded = crowd.asks(request, servedPerMs, nowMs);
    if (isOverloaded) this.#overloadedAtMs = nowMs;
    else if (this.line.size === 0 && nowMs - this.#overloadedAtMs >= OWED_FOR_MS) this.line.forgive();
    const shareMs = isOverloaded ? crowd.shareMs(request.account) : 0;
    if (shareMs > 0) return this.#refuse(request, "share", shareMs, nowMs);
    // Those who wait go first: time alone may have freed a slot, which nobody was told of.
    if (this.line.size > 0) for (const { host } of request.pairs) this.#serve(host, nowMs);
    const free = request.pairs.find((pair) => this.#isFree(pair, nowMs));
    if (free === undefined) return this.#join(request, crowd, servedPerMs, isOverloaded, nowMs);
    crowd.lets(request);
    this.line.served(request);
    this.#grant(request, free, nowMs);
    this.#record(request, free.host, free === request.pairs[0] ? "first choice" : "the first choice was full", nowMs);
    return { kind: "granted", host: free.host };
  }

  /** Who waited no longer waits; who was granted a slot meanwhile gives it back. */
  leave(id: string, nowMs: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting !== undefined && this.line.leave(id)) this.#crowds.of(waiting.request.pairs).waits(-1, nowMs);
    this.#waiting.delete(id);
    this.release(id, { kind: "neither" }, 0, nowMs);
  }

  /**
   * A slot comes free, and the next in line has it.
   *
   * @param weight what the request really weighed; null when nobody knows
   * @returns whether a breaker has opened
   */
  release(id: string, outcome: Outcome, weight: number | null, nowMs: number): boolean {
    const ticket = this.holdings.release(id, nowMs);
    if (ticket === undefined) return false;
    const { host, servedAs, grantedAtMs } = ticket;
    if (outcome.kind === "ok") this.#forecast.released(host, { value: nowMs - grantedAtMs, count: 1 });
    const hasOpened = this.signals.observe(host, servedAs, add(NO_OUTCOMES, outcome), nowMs);
    const estimate = this.#weights.get(id);
    this.#weights.delete(id);
    if (estimate !== undefined && weight !== null) this.line.correct(estimate, weight - estimate.weight);
    this.#serve(host, nowMs);
    return hasOpened;
  }

  /**
   * What an isolate holds and has seen.
   *
   * @param hosts those of the catalog
   * @returns the slots that it may fill by itself until its next report, by host, and whether a breaker has opened
   */
  report(
    report: HoldingsReport & { readonly outcomes: Gathered; readonly decisions: readonly Decision[] },
    hosts: readonly { readonly id: string; readonly capacity: number }[],
    nowMs: number,
  ): { spare: Record<string, number>; hasOpened: boolean } {
    const gone = this.holdings.report(report, nowMs);
    const opened = Object.values(report.outcomes).map(({ host, servedAs, ...outcomes }) => {
      this.#forecast.released(host, outcomes.heldMs);
      return this.signals.observe(host, servedAs, outcomes, nowMs);
    });
    const hasOpened = opened.includes(true);
    for (const decision of report.decisions) this.decisions.keep(decision);
    if (gone === null) return { spare: {}, hasOpened };
    for (const id of gone) this.release(id, { kind: "neither" }, null, nowMs);
    this.#serveAll(nowMs);
    const inUse = inUseBy(report);
    const spare: Record<string, number> = {};
    for (const { id, capacity } of hosts) {
      if (!this.#isPlain(id, nowMs)) continue;
      const free = capacity - this.holdings.held(id, nowMs);
      const wanted = Math.max((inUse.get(id) ?? 0) + SPARE_BEYOND_USE, Math.floor(free / SPARE_AT_REST_PART));
      const count = Math.min(Math.floor(free / SPARE_PART), wanted);
      if (count <= 0) continue;
      this.holdings.offer(report.isolate, id, count, nowMs);
      spare[id] = count;
    }
    return { spare, hasOpened };
  }

  /** Who waits for what, longest first. */
  waiting(): { model: string; account: string; sinceMs: number }[] {
    return [...this.line.waiters()].map(({ id, account, sinceMs }) => {
      return { model: this.#waiting.get(id)?.request.model ?? "", account, sinceMs };
    });
  }

  /** Frees what silent isolates held, and the places of those who ask no more. */
  sweep(nowMs: number): void {
    for (const [id, { heardAtMs }] of this.#waiting)
      if (Math.abs(nowMs - heardAtMs) >= ASKS_WITHIN_MS) this.leave(id, nowMs);
    this.#crowds.forgetGone(nowMs);
    for (const id of this.holdings.silent(nowMs)) this.release(id, { kind: "neither" }, null, nowMs);
    this.#serveAll(nowMs);
  }

  /** What is left over, if anything is: nobody waits for it. */
  #copy(request: TakeRequest, nowMs: number): Answer {
    const free = request.pairs.find((pair) => this.#isFree(pair, nowMs) && this.line.waitingFor(pair.host) === 0);
    if (free === undefined) return { kind: "refused", because: "full", retryAfterMs: LEAST_RETRY_AFTER_MS };
    this.#grant(request, free, nowMs);
    return { kind: "granted", host: free.host };
  }

  /** Whether a turn has come since the waiter was told that it waits. */
  #look({ id, pairs }: TakeRequest, nowMs: number): Answer {
    for (const { host } of pairs) this.#serve(host, nowMs);
    const host = this.holdings.hostOf(id);
    return host === undefined ? { kind: "waiting" } : { kind: "granted", host };
  }

  #join(request: TakeRequest, crowd: Crowd, servedPerMs: number | null, isOverloaded: boolean, nowMs: number): Answer {
    const waiter = { ...request, sinceMs: nowMs - request.waitedMs };
    const isCut = isOverloaded && request.mayCutWait;
    // Where everyone is held to its share, a line that is kept short is one of equals: all of it goes before.
    const predictedMs = waitMs(isCut ? crowd.waiting : this.line.ahead(waiter), servedPerMs);
    const boundMs = isCut
      ? standingBoundMs(this.signals.ttftMs(request.pairs), request.pairs, servedPerMs)
      : request.maxWaitMs;
    if (
      predictedMs > Math.min(boundMs, request.maxWaitMs) ||
      request.maxWaitMs <= 0 ||
      crowd.waiting >= request.maxWaiting
    )
      return this.#refuse(request, "full", predictedMs, nowMs);
    this.#waiting.set(request.id, { request, heardAtMs: nowMs });
    this.line.join(waiter, isCut);
    crowd.lets(request);
    crowd.waits(1, nowMs);
    return { kind: "waiting" };
  }

  /** How long no host will take anything, as far as is known; null while one may. */
  #outMs(pairs: readonly Pair[], nowMs: number): number | null {
    const outMs = pairs.map(({ host, servedAs }) =>
      this.#shut.has(host) ? SHUT_FOR_MS : this.signals.openForMs(host, servedAs, nowMs),
    );
    return outMs.every((ms) => ms > 0) ? Math.min(...outMs) : null;
  }

  #refuse(request: TakeRequest, because: "full" | "share" | "out", waitMs: number, nowMs: number): Answer {
    this.#record(request, null, `refused: ${because}, predicted wait ${Math.round(waitMs)} ms`, nowMs);
    return { kind: "refused", because, retryAfterMs: Math.max(LEAST_RETRY_AFTER_MS, waitMs) };
  }

  #grant(request: TakeRequest, { host, servedAs, capacity }: Pair, nowMs: number): void {
    const { id, account, share, weight, isolate } = request;
    this.signals.call(host, servedAs, capacity, nowMs);
    this.holdings.grant(id, { host, servedAs, isolate }, nowMs);
    this.#weights.set(id, { account, share, weight });
  }

  #serveAll(nowMs: number): void {
    for (const host of this.line.hosts()) this.#serve(host, nowMs);
  }

  #serve(host: string, nowMs: number): void {
    for (;;) {
      const waiter = this.line.next(host, nowMs, (pair) => this.#isFree(pair, nowMs));
      if (waiter === undefined) return;
      this.#crowds.of(waiter.pairs).waits(-1, nowMs);
      const waiting = this.#waiting.get(waiter.id);
      // A slot is not for somebody who has gone without a word.
      const isThere = waiting !== undefined && nowMs - waiting.heardAtMs < ASKS_WITHIN_MS;
      const pair = waiter.pairs.find((candidate) => candidate.host === host);
      this.#waiting.delete(waiter.id);
      if (!isThere || pair === undefined) {
        this.line.correct(waiter, -waiter.weight);
        continue;
      }
      this.#grant(waiting.request, pair, nowMs);
      this.#record(waiting.request, host, `waited ${Math.round(nowMs - waiter.sinceMs)} ms`, nowMs);
      this.#turns.push({ id: waiter.id, host });
    }
  }

  #isFree({ host, servedAs, capacity }: Pair, nowMs: number): boolean {
    if (this.#shut.has(host) || this.holdings.isUnsure(nowMs)) return false;
    if (this.holdings.held(host, nowMs) >= capacity) return false;
    return this.signals.mayCall(host, servedAs, capacity, nowMs);
  }

  /** Whether isolates may fill a host's free slots by themselves: nobody waits for it, and nothing speaks against it. */
  #isPlain(host: string, nowMs: number): boolean {
    if (this.holdings.isUnsure(nowMs)) return false;
    return !this.#shut.has(host) && this.signals.isClosed(host) && this.line.waitingFor(host) === 0;
  }

  #record({ id, model }: TakeRequest, host: string | null, why: string, atMs: number): void {
    this.decisions.keep({ atMs, id, model, host, why });
  }
}

/** What an isolate has in flight, by host. */
function inUseBy({ used, tickets }: HoldingsReport): Map<string, number> {
  const inUse = new Map(Object.entries(used));
  for (const { host } of Object.values(tickets)) inUse.set(host, (inUse.get(host) ?? 0) + 1);
  return inUse;
}
