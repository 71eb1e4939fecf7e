/**
 * Callers and hosts around the pure pool, on a clock of its own: who asks when, how long an answer holds its slot, and
 * what each caller was served. For the bench, which also times the decisions, and for the tests, which judge by it.
 */
import { seeded } from "#scripts/storm/chance.ts";
import { weightOf } from "#src/fleet/line.ts";
import type { Pair } from "#src/fleet/pair.ts";
import { Pool } from "#src/fleet/pool.ts";
import type { TakeRequest } from "#src/fleet/take.ts";

export type LoadCaller = {
  readonly share: number;
  /** Requests; null: always one in line, the next as soon as that is served. */
  readonly perSecond: number | null;
  /** Completion tokens of its answers, on average. */
  readonly tokens: number;
  /** Where it is not the load's. */
  readonly maxWaitMs?: number;
};

export type PoolLoad = {
  readonly seed: number;
  readonly hosts: number;
  readonly slots: number;
  readonly msPerToken: number;
  readonly callers: readonly LoadCaller[];
  readonly forMs: number;
  /** Until then callers come in one after the other, and nothing is counted. */
  readonly fillMs: number;
  readonly maxWaitMs: number;
  readonly mayCutWait: boolean;
};

export type PoolServed = {
  /** Tokens by caller. */
  readonly tokens: readonly number[];
  readonly requests: number;
  readonly refused: number;
  /** Of those served, in no order. */
  readonly waitsMs: readonly number[];
  /** Requests in flight on the fullest host at the worst moment. */
  readonly mostOnAHost: number;
  /** Part of the slots' time in which they worked. */
  readonly utilisation: number;
  readonly longestLine: number;
};

/** What the pool decides: a question for a slot by its answer, one that is asked again, and a slot that is given back. */
export type Decided = "granted" | "waiting" | "refused" | "asked again" | "released";
/** Makes a decision, so that it can be timed. */
export type Timed = <T>(decide: () => T, decided: (made: T) => Decided) => T;

const PROMPT_TOKENS = 20;
const TTFT_MS = 200;
const START_MS = 1_790_000_000_000;
/** Answers are up to a fifth longer or shorter than the caller's usual one. */
const SPREAD = 0.2;
/** As in `ticket.ts`. */
const POLL_MS = 2_000;

/** Runs a load to its end. */
export function simulate(load: PoolLoad, timed: Timed = (decide) => decide()): PoolServed {
  const chance = seeded(load.seed);
  const pool = new Pool();
  const events = new Events();
  const tokens = load.callers.map(() => 0);
  const waitsMs: number[] = [];
  const counts = { requests: 0, refused: 0, mostOnAHost: 0, longestLine: 0, busyMs: 0 };
  const inFlight = new Map<string, number>();
  const pairs: readonly Pair[] = Array.from({ length: load.hosts }, (_, nth) => {
    return { host: `host-${nth}`, servedAs: "a-model", capacity: load.slots };
  });
  const lined = new Map<string, { readonly caller: number; readonly sinceMs: number; readonly request: TakeRequest }>();
  const endMs = START_MS + load.forMs;
  const isCounted = (): boolean => events.nowMs >= START_MS + load.fillMs && events.nowMs < endMs;

  const usual = (caller: number): LoadCaller => load.callers[caller] ?? { share: 1, perSecond: null, tokens: 1 };
  const gapMs = (perSecond: number): number => (-Math.log(1 - chance()) * 1_000) / perSecond;

  const start = (id: string, host: string, caller: number, waitMs: number): void => {
    const made = usual(caller).tokens * (1 - SPREAD + 2 * SPREAD * chance());
    const heldMs = made * load.msPerToken;
    const count = (inFlight.get(host) ?? 0) + 1;
    inFlight.set(host, count);
    counts.mostOnAHost = Math.max(counts.mostOnAHost, count);
    if (isCounted()) waitsMs.push(waitMs);
    events.in(heldMs, () => {
      inFlight.set(host, (inFlight.get(host) ?? 0) - 1);
      if (isCounted()) {
        tokens[caller] = (tokens[caller] ?? 0) + made;
        counts.busyMs += heldMs;
      }
      const outcome = { kind: "ok", ttftMs: TTFT_MS, tokensPerS: 1_000 / load.msPerToken } as const;
      timed(
        () => pool.release(id, outcome, weightOf(PROMPT_TOKENS, made), events.nowMs),
        () => "released",
      );
      callTurns();
    });
    if (usual(caller).perSecond === null) ask(caller);
  };
  const callTurns = (): void => {
    for (const { id, host } of pool.turns()) {
      const waiter = lined.get(id);
      if (waiter === undefined || host === null) throw new Error(`a turn for ${id}, who does not wait for any host`);
      lined.delete(id);
      start(id, host, waiter.caller, events.nowMs - waiter.sinceMs);
    }
  };
  const again = (id: string): void => {
    const waiter = lined.get(id);
    if (waiter === undefined) return;
    timed(
      () => pool.take(waiter.request, events.nowMs),
      () => "asked again",
    );
    events.in(POLL_MS, () => again(id));
  };
  const ask = (caller: number): void => {
    if (events.nowMs >= endMs) return;
    const { share, tokens: usualTokens, maxWaitMs = load.maxWaitMs } = usual(caller);
    const id = `request-${counts.requests++}`;
    const from = Math.floor(chance() * pairs.length);
    const request: TakeRequest = {
      id,
      account: `account-${caller}`,
      share,
      priority: 0,
      weight: weightOf(PROMPT_TOKENS, usualTokens),
      pairs: [...pairs.slice(from), ...pairs.slice(0, from)],
      isolate: "isolate",
      model: "m",
      waitedMs: 0,
      maxWaitMs,
      mayCutWait: load.mayCutWait,
      maxWaiting: Number.POSITIVE_INFINITY,
    };
    const answer = timed(
      () => pool.take(request, events.nowMs),
      ({ kind }) => kind,
    );
    if (answer.kind === "granted") start(id, answer.host, caller, 0);
    else if (answer.kind === "waiting") {
      lined.set(id, { caller, sinceMs: events.nowMs, request });
      events.in(POLL_MS, () => again(id));
    } else {
      counts.refused++;
      if (usual(caller).perSecond === null) events.in(answer.retryAfterMs, () => ask(caller));
    }
    counts.longestLine = Math.max(counts.longestLine, pool.line.size);
  };
  const come = (caller: number, perSecond: number): void => {
    ask(caller);
    if (events.nowMs < endMs) events.in(gapMs(perSecond), () => come(caller, perSecond));
  };

  for (const [caller, { perSecond }] of load.callers.entries()) {
    if (perSecond === null) events.in(chance() * load.fillMs, () => ask(caller));
    else events.in(gapMs(perSecond), () => come(caller, perSecond));
  }
  events.run();
  const utilisation = counts.busyMs / (load.hosts * load.slots * (load.forMs - load.fillMs));
  return { tokens, waitsMs, utilisation, ...counts };
}

type Event = { readonly atMs: number; readonly run: () => void };

/** What happens next, and when: a binary heap, the soonest first. */
class Events {
  nowMs = START_MS;
  readonly #heap: Event[] = [];

  in(ms: number, run: () => void): void {
    const event = { atMs: this.nowMs + ms, run };
    let place = this.#heap.push(event) - 1;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (this.#at(above) <= event.atMs) break;
      this.#move(above, place);
      place = above;
    }
    this.#heap[place] = event;
  }

  run(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      this.nowMs = next.atMs;
      next.run();
    }
  }

  #next(): Event | undefined {
    const [first] = this.#heap;
    const last = this.#heap.pop();
    if (first === undefined || last === undefined || this.#heap.length === 0) return first;
    let place = 0;
    for (;;) {
      const [left, right] = [2 * place + 1, 2 * place + 2];
      const least = this.#at(right) < this.#at(left) ? right : left;
      if (this.#at(least) >= last.atMs) break;
      this.#move(least, place);
      place = least;
    }
    this.#heap[place] = last;
    return first;
  }

  #at(place: number): number {
    return this.#heap[place]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  #move(from: number, to: number): void {
    const event = this.#heap[from];
    if (event !== undefined) this.#heap[to] = event;
  }
}
