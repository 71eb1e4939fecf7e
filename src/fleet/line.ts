/**
 * The waiting line of a pool whose hosts are full: fair by tokens served, not by requests. Each caller has a virtual token
 * counter that grows by what it is served, divided by its share; who has the smallest is next (Sheng et al., "Fairness in
 * Serving Large Language Models", OSDI 2024). Nobody saves up: a caller who was away starts at the level of those served
 * last (start-time fair queuing: Goyal, Vin and Cheng, SIGCOMM 1996). A higher priority goes first, and every fourth turn
 * is for whoever has waited longest behind one, so that nobody starves. A plain collection: no I/O, no clock.
 *
 * Waiters of one priority with the same hosts to go to stand in one sorted row. Rows are arrays on purpose: to insert
 * into 10,000 entries moves some 40 kB, which takes less than a heap's comparisons do, and a place in line is known
 * exactly.
 */
import { type Pair, rowKey } from "./pair.ts";

/** A token made costs an engine about twice what a token read does (Sheng et al., section 5). */
const OUTPUT_WEIGHT = 2;
/** Waited for this long, a waiter may have a turn out of order. */
const AGED_AFTER_MS = 5_000;
/** One turn of so many is for the one who has waited longest behind a higher priority. */
const AGED_TURN = 4;
/** Counters are looked through this often, so that callers who went away take no memory. */
const FORGET_EVERY_TURNS = 1_024;

export type Waiter = {
  readonly id: string;
  readonly account: string;
  /** Of the caller's tier: twice the share is served twice the tokens. */
  readonly share: number;
  /** More goes first. */
  readonly priority: number;
  /** Estimated, by `weightOf`. */
  readonly weight: number;
  /** When the request came in. */
  readonly sinceMs: number;
  /** Where it may go. */
  readonly pairs: readonly Pair[];
};

type Entry = Waiter & {
  /** The caller's virtual counter when its turn comes. */
  readonly start: number;
  readonly arrival: number;
  readonly row: string;
};

type Row = {
  readonly priority: number;
  readonly pairs: readonly Pair[];
  /** Who is next stands last. */
  readonly entries: Entry[];
  /** The same by the time they joined. */
  readonly byArrival: Map<string, Entry>;
};

/** What a request's tokens weigh. */
export function weightOf(promptTokens: number, completionTokens: number): number {
  return Math.max(1, promptTokens + OUTPUT_WEIGHT * completionTokens);
}

export class Line {
  readonly #rows = new Map<string, Row>();
  readonly #entries = new Map<string, Entry>();
  readonly #counters = new Map<string, number>();
  #level = 0;
  #arrivals = 0;
  #turns = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Everyone who waits, in no order. */
  waiters(): Iterable<Waiter> {
    return this.#entries.values();
  }

  /** Where those who wait may go. */
  hosts(): ReadonlySet<string> {
    return new Set([...this.#rows.values()].flatMap(({ pairs }) => pairs.map(({ host }) => host)));
  }

  /** How many wait who may go to this host. */
  waitingFor(host: string): number {
    let count = 0;
    for (const { pairs, entries } of this.#rows.values())
      if (pairs.some((pair) => pair.host === host)) count += entries.length;
    return count;
  }

  /** @param isLevel whether everyone here has had the same as it is: it goes behind all of its priority then */
  join(waiter: Waiter, isLevel = false): void {
    const row = `${waiter.priority}\n${rowKey(waiter.pairs)}`;
    const { entries, byArrival } = this.#rowOf(row, waiter);
    const charged = this.#charge(waiter);
    const start = isLevel ? (entries[0]?.start ?? this.#level) : charged;
    const entry: Entry = { ...waiter, start, arrival: this.#arrivals++, row };
    entries.splice(placeOf(entry, entries), 0, entry);
    byArrival.set(entry.id, entry);
    this.#entries.set(entry.id, entry);
  }

  /**
   * A caller who goes leaves the line, and what its request would have weighed is given back.
   *
   * @returns false when it does not wait
   */
  leave(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#remove(entry);
    this.correct(entry, -entry.weight);
    return true;
  }

  /** How many of those who wait for any of these hosts would go before one who came now. */
  ahead(waiter: Waiter): number {
    const hosts = new Set(waiter.pairs.map(({ host }) => host));
    const start = Math.max(this.#level, this.#counters.get(waiter.account) ?? 0);
    let ahead = 0;
    for (const { pairs, entries } of this.#rows.values()) {
      if (!pairs.some(({ host }) => hosts.has(host))) continue;
      ahead += entries.length - placeOf({ priority: waiter.priority, start, arrival: this.#arrivals }, entries);
    }
    return ahead;
  }

  /**
   * Takes out who is next for a host.
   *
   * @param permits whether a call of this pair may be made now
   * @returns undefined when nobody waits who may go there
   */
  next(host: string, nowMs: number, permits: (pair: Pair) => boolean): Waiter | undefined {
    const rows = [...this.#rows.values()].filter(({ pairs }) => {
      const pair = pairs.find((candidate) => candidate.host === host);
      return pair !== undefined && permits(pair);
    });
    const foremost = first(rows.map(({ entries }) => entries.at(-1)));
    if (foremost === undefined) return undefined;
    const aged = this.#aged(rows, foremost.priority, nowMs);
    const best = aged ?? foremost;
    this.#remove(best);
    // A turn out of order moves nobody else: it would lift whoever comes next to where the aged one stood.
    if (aged === undefined) this.#level = Math.max(this.#level, best.start);
    if (++this.#turns % FORGET_EVERY_TURNS === 0) this.#forget();
    return best;
  }

  /** Counts what was served without a wait. */
  served(waiter: Pick<Waiter, "account" | "share" | "weight">): void {
    this.#level = Math.max(this.#level, this.#charge(waiter));
  }

  /** Puts right what a request was estimated to weigh. @param difference what it weighed more; may be negative */
  correct({ account, share }: Pick<Waiter, "account" | "share">, difference: number): void {
    const counter = this.#counters.get(account);
    if (counter !== undefined) this.#counters.set(account, counter + difference / share);
  }

  /** There is room for everybody again: nobody owes anything. */
  forgive(): void {
    this.#counters.clear();
    this.#level = 0;
  }

  /** @returns the caller's counter before this request, which is where it starts */
  #charge({ account, share, weight }: Pick<Waiter, "account" | "share" | "weight">): number {
    const start = Math.max(this.#level, this.#counters.get(account) ?? 0);
    this.#counters.set(account, start + weight / share);
    return start;
  }

  /** A counter that the level has passed says nothing any more. */
  #forget(): void {
    for (const [account, counter] of this.#counters) if (counter <= this.#level) this.#counters.delete(account);
  }

  /** Among equals the order is fair already, and nobody starves: only who stands behind a priority may be aged. */
  #aged(rows: readonly Row[], priority: number, nowMs: number): Entry | undefined {
    if ((this.#turns + 1) % AGED_TURN !== 0) return undefined;
    let oldest: Entry | undefined;
    for (const row of rows) {
      if (row.priority >= priority) continue;
      const [entry] = row.byArrival.values();
      if (entry !== undefined && entry.sinceMs < (oldest?.sinceMs ?? Number.POSITIVE_INFINITY)) oldest = entry;
    }
    return oldest !== undefined && nowMs - oldest.sinceMs >= AGED_AFTER_MS ? oldest : undefined;
  }

  #rowOf(key: string, { priority, pairs }: Waiter): Row {
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const row: Row = { priority, pairs, entries: [], byArrival: new Map() };
    this.#rows.set(key, row);
    return row;
  }

  #remove(entry: Entry): void {
    const row = this.#rows.get(entry.row);
    this.#entries.delete(entry.id);
    if (row === undefined) return;
    row.byArrival.delete(entry.id);
    row.entries.splice(placeOf(entry, row.entries) - 1, 1);
    if (row.entries.length === 0) this.#rows.delete(entry.row);
  }
}

type Rank = Pick<Entry, "priority" | "start" | "arrival">;

/** Less than 0 when `a` goes before `b`. */
function compare(a: Rank, b: Rank): number {
  return b.priority - a.priority || a.start - b.start || a.arrival - b.arrival;
}

/** Behind how many of these, of whom the next stands last, an entry belongs; one of them comes just before its place. */
function placeOf(rank: Rank, entries: readonly Entry[]): number {
  let [from, to] = [0, entries.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const other = entries[middle];
    if (other !== undefined && compare(other, rank) >= 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

function first(entries: readonly (Entry | undefined)[]): Entry | undefined {
  let best: Entry | undefined;
  for (const entry of entries)
    if (entry !== undefined && (best === undefined || compare(entry, best) < 0)) best = entry;
  return best;
}
