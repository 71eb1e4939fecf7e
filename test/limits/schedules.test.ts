/**
 * Random schedules of one account against an exact log: requests of random cost, ends that cost less, as much and more,
 * ends that come twice, renewals, silences, evictions, limits that the catalog changes meanwhile, clocks that step.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type AccountState, type AdmitRequest, admit, NEW_ACCOUNT, settle, standingsOf } from "#src/limits/account.ts";
import { tick } from "#src/limits/clock.ts";
import { DOUBTED_AFTER_MS, Leases, type OpenLease, type Slot } from "#src/limits/leases.ts";
import type { Cost, Limit, Standing } from "#src/limits/windows.ts";
import { eventWith } from "#test/support/events.ts";
import { ExactLog } from "./exact-log.ts";

const START_MS = 1_790_000_000_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** What leaps of the object's own clock may add to its time, until the machine that asks is believed instead. */
const TOLERANCE_MS = 5_000;

/** What is done next. Requests are the most common, or limits would never be reached. */
const KINDS = [
  ...Array<"ask">(12).fill("ask"),
  "settle",
  "settle",
  "settle",
  "settle twice",
  "renew",
  "look after",
  "evict",
  "catalog",
  "step",
] as const;

/** Gaps: most are short, and some meet the edges of slices, windows and leases. */
const UP_TO_MS = [900, 900, 3_000, 25_000];
const EXACTLY_MS = [0, 1, 999, 1_000, 15_000, 30_000, 59_999, 60_000, 61_000, HOUR_MS, DAY_MS];

type Step = {
  readonly kind: (typeof KINDS)[number];
  readonly gapMs: number;
  readonly tokens: number;
  readonly micros: number;
  /** Whatever else is to be chosen. */
  readonly pick: number;
};

/** A step is one number and not a record, because to make up records took longer than all the rest. */
const schedule = fc.array(fc.nat(), { minLength: 20, maxLength: 40 });

function stepOf(number: number): Step {
  let rest = number;
  const oneOf = (count: number): number => {
    const chosen = rest % count;
    rest = Math.floor(rest / count);
    return chosen;
  };
  const kind = KINDS[oneOf(KINDS.length)] ?? "ask";
  const gap = oneOf(3 * EXACTLY_MS.length);
  const tokens = oneOf(70);
  const micros = [0, 0, 40, 250][oneOf(4)] ?? 0;
  const gapMs = EXACTLY_MS[gap] ?? (rest * 7_919) % (UP_TO_MS[gap % UP_TO_MS.length] ?? 1);
  return { kind, gapMs, tokens, micros, pick: rest };
}

type Clocks = "true" | "object's own steps" | "the only one steps back";

/** One account with all that it remembers, as its object has it but for storage; and what really happened, beside it. */
class World {
  readonly #clocks: Clocks;
  #nowMs = START_MS;
  #wrongMs = 0;
  /** The object's own clock has, since somebody asked last. */
  #hasStepped = false;
  #state: AccountState = NEW_ACCOUNT;
  #leases = new Leases();
  #max = { rpm: 4, rph: 12, tpm: 150, budget: 600, slots: 3 };

  readonly #log = new ExactLog();
  /** Open requests: when each was heard of last, or taken to be by an object that had been evicted. */
  readonly #heardAtMs = new Map<string, number>();
  /** When each was heard of in truth. */
  readonly #spokeAtMs = new Map<string, number>();
  #evictedAtMs = Number.NEGATIVE_INFINITY;
  readonly #slotsOf = new Map<string, readonly string[]>();
  readonly #ended: string[] = [];
  readonly seen = { admitted: 0, refused: 0 };

  constructor(clocks: Clocks) {
    this.#clocks = clocks;
  }

  run(number: number): void {
    const { kind, gapMs, tokens, micros, pick } = stepOf(number);
    this.#nowMs += gapMs;
    const open = [...this.#heardAtMs.keys()];
    const id = open[pick % Math.max(1, open.length)];
    if (kind === "ask") this.#ask({ requests: 1, tokens, micros }, pick);
    else if (kind === "settle" && id !== undefined) this.#settle(id, pick);
    else if (kind === "settle twice") this.#settleTwice(pick, tokens);
    else if (kind === "renew" && id !== undefined) this.#renew(id, pick);
    else if (kind === "look after") this.#lookAfter();
    else if (kind === "evict") this.#evict();
    else if (kind === "catalog") this.#changeLimits(pick);
    else if (kind === "step") this.#step(pick);
  }

  get #wallMs(): number {
    return this.#nowMs + this.#wrongMs;
  }

  /** By the clock of the machine that asks. */
  get #askedAtMs(): number {
    return this.#clocks === "the only one steps back" ? this.#wallMs : this.#nowMs;
  }

  /** How far the account's clock may have run ahead of a true one. */
  get #aheadMs(): number {
    return this.#clocks === "object's own steps" ? TOLERANCE_MS : 0;
  }

  #request(cost: Cost, pick: number): AdmitRequest {
    const { rpm, rph, tpm, budget, slots } = this.#max;
    const perMinute: Limit = { name: "rpm", unit: "requests", max: rpm, windowMs: MINUTE_MS };
    const others: Limit[] = [
      { name: "rph", unit: "requests", max: rph, windowMs: HOUR_MS },
      { name: "tpm", unit: "tokens", max: tpm, windowMs: MINUTE_MS },
      { name: "budget-day", unit: "micros", max: budget, windowMs: DAY_MS },
    ];
    // One in three is for a model with limits of its own, one in four comes with a key that has its own slots.
    const ofModel = pick % 3 === 0 ? [{ ...perMinute, name: "rpm/model/m", max: 2 }, ...others.slice(0, 2)] : null;
    const own: Slot = { name: "concurrency", max: slots };
    return {
      limits: ofModel ?? [perMinute, ...others],
      slots: pick % 4 === 0 ? [own, { name: "concurrency/key/k", max: 1 }] : [own],
      cost,
      keyId: null,
      ifAbandoned: eventWith({
        outcome: "abandoned",
        promptTokens: cost.tokens,
        completionTokens: 0,
        costMicros: null,
      }),
    };
  }

  #decide(request: AdmitRequest, laterMs = 0) {
    return admit(this.#state, this.#leases, request, [], this.#wallMs + laterMs, this.#askedAtMs + laterMs);
  }

  #ask(cost: Cost, pick: number): void {
    const request = this.#request(cost, pick);
    const before = this.#figures(request);
    const { state, decision, lease } = this.#decide(request);
    this.#state = state;
    this.#hasStepped = false;
    if (decision.kind === "key_retired") throw new Error("no key was retired");
    this.#holdAgainstLog(request, decision.kind === "admitted", cost);
    if (lease !== null) {
      this.seen.admitted++;
      this.#leases.open(lease);
      this.#heardAtMs.set(lease.id, this.#nowMs);
      this.#spokeAtMs.set(lease.id, this.#nowMs);
      this.#slotsOf.set(lease.id, lease.slots);
      for (const { name, unit } of request.limits) this.#log.charge(lease.id, name, cost[unit], this.#nowMs);
    }
    if (this.#clocks === "true") this.#holdStandings(decision.standings.windows);
    if (decision.kind !== "denied") return;
    this.seen.refused++;
    if (this.#clocks === "true" && this.#figures(request) !== before) throw new Error("a refusal changed something");
    this.#holdRetryAfter(request, decision.retryAfterMs);
  }

  /** All that is left to the caller, and until when. */
  #figures(request: AdmitRequest): string {
    const { windows, slots } = standingsOf(this.#state, this.#leases, request, this.#wallMs);
    return [
      ...windows.map(({ remaining, resetMs }) => `${remaining}/${resetMs}`),
      ...slots.map(({ remaining }) => remaining),
    ].join();
  }

  /** Nothing is admitted that the log would refuse; nothing is refused that the log of a slice more would admit. */
  #holdAgainstLog({ limits, slots }: AdmitRequest, admitted: boolean, cost: Cost): void {
    const over = (windowMs: (limit: Limit) => number): string[] =>
      limits
        // What costs nothing exceeds nothing, also where a limit was lowered below what is charged.
        .filter((limit) => cost[limit.unit] > 0)
        .filter((limit) => this.#log.sum(limit.name, windowMs(limit), this.#nowMs) + cost[limit.unit] > limit.max)
        .map(({ name }) => name);
    const full = (silentMs: number): string[] =>
      slots.filter(({ name, max }) => this.#inFlight(name, silentMs) >= max).map(({ name }) => name);
    if (admitted) {
      const exceeded = [...over(({ windowMs }) => windowMs - this.#aheadMs), ...full(DOUBTED_AFTER_MS - this.#aheadMs)];
      if (exceeded.length > 0) throw new Error(`admitted beyond ${exceeded.join()}`);
    } else if (this.#clocks === "true") {
      const reasons = [...over(({ windowMs }) => windowMs + windowMs / 60), ...full(DOUBTED_AFTER_MS)];
      if (reasons.length === 0) throw new Error("refused without a reason");
    }
  }

  #inFlight(slot: string, silentMs: number): number {
    let count = 0;
    for (const [id, heardAtMs] of this.#heardAtMs)
      if (this.#slotsOf.get(id)?.includes(slot) && this.#nowMs - heardAtMs < silentMs) count++;
    return count;
  }

  /** What is left, as headers say it: never more than the log has it, and less by one slice's charges at most. */
  #holdStandings(windows: readonly Standing[]): void {
    for (const { limit, remaining } of windows) {
      const left = (windowMs: number) => Math.max(0, limit.max - this.#log.sum(limit.name, windowMs, this.#nowMs));
      if (remaining > left(limit.windowMs)) throw new Error(`${limit.name} shows too much`);
      if (remaining < left(limit.windowMs + limit.windowMs / 60)) throw new Error(`${limit.name} shows too little`);
    }
  }

  /** Nobody else asking, waiting is enough; and never longer than the window and a slice, whatever the clock did before. */
  #holdRetryAfter(request: AdmitRequest, retryAfterMs: number | null): void {
    const isHopeless = request.limits.some(({ unit, max }) => request.cost[unit] > max);
    if ((retryAfterMs === null) !== isHopeless) throw new Error("hopeless and not, or the other way round");
    if (retryAfterMs === null) return;
    // When a slot will be free is a prediction; windows are held to their word.
    const later = { ...request, slots: [] };
    if (this.#decide(later, retryAfterMs).decision.kind !== "admitted") throw new Error("waiting was not enough");
    const longestMs = Math.max(...request.limits.map(({ windowMs }) => windowMs));
    const soon = this.#decide(request, Math.max(DOUBTED_AFTER_MS, longestMs + longestMs / 60));
    if (soon.decision.kind !== "admitted") throw new Error("locked out for longer than a window and a slice");
  }

  #settle(id: string, pick: number): void {
    const lease = this.#leases.close(id, this.#wallMs);
    if (lease === undefined) throw new Error("the lease is gone");
    const part = [0, 0.5, 1, 1, 2.5][pick % 5] ?? 1;
    this.#end(lease, {
      promptTokens: Math.round(lease.charge.cost.tokens * part),
      completionTokens: 0,
      // A price by host time: nothing was reserved for it.
      costMicros: [null, Math.round(lease.charge.cost.micros * part), 90][pick % 3] ?? null,
    });
  }

  #end(lease: OpenLease, spent: { promptTokens: number; completionTokens: number; costMicros: number | null }): void {
    this.#state = settle(this.#state, lease.charge, { ...lease.event, ...spent });
    this.#heardAtMs.delete(lease.id);
    this.#ended.push(lease.id);
    for (const { name, unit } of lease.charge.limits) {
      if (unit === "tokens") this.#log.settle(lease.id, name, spent.promptTokens + spent.completionTokens);
      if (unit === "micros") this.#log.settle(lease.id, name, spent.costMicros ?? lease.charge.cost.micros);
    }
  }

  #settleTwice(pick: number, tokens: number): void {
    const id = this.#ended[pick % Math.max(1, this.#ended.length)];
    if (id === undefined) return;
    const lease = this.#leases.close(id, this.#wallMs);
    this.#state = settle(this.#state, lease?.charge, eventWith({ id, promptTokens: tokens }));
  }

  #renew(id: string, pick: number): void {
    const nowMs = this.#accountMs();
    const renewed = this.#leases.renew(id, { completionTokens: pick % 30 }, nowMs);
    if (renewed === undefined) throw new Error("the lease is gone");
    this.#hear(id);
    this.#spokeAtMs.set(id, this.#nowMs);
  }

  /** What an object hears after its clock has stepped, and before somebody asks, it may take for earlier. */
  #hear(id: string): void {
    if (!this.#hasStepped) this.#heardAtMs.set(id, this.#nowMs);
  }

  /** As the object reads its clock where no other machine asks: only a step back is kept. */
  #accountMs(): number {
    const clock = tick(this.#state.clock, this.#wallMs);
    if (clock.offsetMs !== this.#state.clock.offsetMs) this.#state = { ...this.#state, clock };
    return clock.lastMs;
  }

  #lookAfter(): void {
    const nowMs = this.#accountMs();
    this.#leases.doubt(nowMs);
    for (const { id } of this.#leases.abandoned(nowMs)) {
      const silentMs = this.#nowMs - (this.#spokeAtMs.get(id) ?? Number.NaN);
      // An object that was evicted gives its holders a quarter of a minute to be heard of again.
      const enoughMs = this.#evictedAtMs > this.#nowMs - 45_000 ? 15_000 : 45_000;
      if (this.#clocks === "true" && silentMs < enoughMs) throw new Error("abandoned while it was heard of");
      const lease = this.#leases.close(id, nowMs);
      if (lease !== undefined) this.#end(lease, lease.event);
    }
  }

  /** What is in storage is what is left. */
  #evict(): void {
    this.#evictedAtMs = this.#nowMs;
    const rows: string[] = [];
    for (const id of this.#heardAtMs.keys()) rows.push(JSON.stringify(this.#leases.get(id)));
    this.#state = JSON.parse(JSON.stringify(this.#state));
    this.#leases = new Leases();
    for (const row of rows) {
      const lease: OpenLease = JSON.parse(row);
      this.#leases.open({ ...lease, heardAtMs: this.#accountMs() });
      this.#hear(lease.id);
    }
    this.#leases.doubt(this.#accountMs(), ({ openedAtMs }) => openedAtMs);
  }

  #changeLimits(pick: number): void {
    this.#max = {
      rpm: 1 + (pick % 6),
      rph: 2 + (pick % 13),
      tpm: 40 + (pick % 150),
      budget: 200 + (pick % 700),
      slots: 1 + (pick % 4),
    };
  }

  #step(pick: number): void {
    const byMs = pick % 2 === 0 ? HOUR_MS : pick % HOUR_MS;
    if (this.#clocks === "the only one steps back") this.#wrongMs -= byMs;
    if (this.#clocks !== "object's own steps") return;
    this.#wrongMs = [0, byMs, -byMs][pick % 3] ?? 0;
    this.#hasStepped = true;
  }
}

/** Both answers must be common, or the schedules prove nothing. */
function held(clocks: Clocks, numRuns: number): void {
  const seen = { admitted: 0, refused: 0 };
  fc.assert(
    fc.property(schedule, (steps) => {
      const world = new World(clocks);
      for (const one of steps) world.run(one);
      seen.admitted += world.seen.admitted;
      seen.refused += world.seen.refused;
    }),
    { numRuns },
  );
  expect(seen.admitted).toBeGreaterThan(2 * numRuns);
  expect(seen.refused).toBeGreaterThan(2 * numRuns);
}

test("with true clocks: nothing over any limit or slot in any window, refused a slice early at most, all or nothing", () => {
  held("true", 5_000);
}, 60_000);

test("with an object's clock that steps by up to an hour to and fro: nothing over, but for five seconds", () => {
  held("object's own steps", 3_000);
}, 60_000);

test("with a single machine's clock that steps back again and again: nothing over", () => {
  held("the only one steps back", 2_000);
}, 60_000);
