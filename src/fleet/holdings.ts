/**
 * Who holds which slot of the pool's hosts: tickets that were granted one by one, and what isolates were given in advance
 * for hosts that are plainly free. Every slot is held by one holder at a time; a holder that falls silent loses it. The
 * clock is an argument.
 */

/** Isolates with work in flight report every 2 s: one that missed seven reports is dead, and so are its requests. */
export const SILENT_AFTER_MS = 15_000;
/**
 * Slots given in advance are kept for this long. The isolate may use them for 2.5 s and reports every 2 s while it has
 * work in flight (`ticket-book.ts`), so whatever it took of them has been reported by then.
 */
const SPARE_KEPT_MS = 8_000;
/** Isolates with work in flight look every 2 s whether their last report is 2 s old. */
const HEARD_WITHIN_MS = 4_500;

export type Holder = {
  readonly host: string;
  readonly servedAs: string;
  readonly isolate: string;
};

type Ticket = Holder & {
  readonly grantedAtMs: number;
  heardAtMs: number;
  /** Its isolate has reported it: from then on it reports it until it ends. */
  isReported: boolean;
};

type Isolate = {
  seq: number;
  heardAtMs: number;
  used: Map<string, number>;
  readonly spare: Map<string, { readonly count: number; readonly atMs: number }>;
};

/** What an isolate holds, by its own account. */
export type HoldingsReport = {
  readonly isolate: string;
  /** Grows with every report: one that was overtaken says nothing. */
  readonly seq: number;
  /** Slots that were given in advance and are in use, by host. */
  readonly used: Readonly<Record<string, number>>;
  /** Those that are not, and may be filled until the answer comes. */
  readonly kept: Readonly<Record<string, number>>;
  /** Tickets that were granted one by one, by id. */
  readonly tickets: Readonly<Record<string, { readonly host: string; readonly servedAs: string }>>;
};

export class Holdings {
  readonly #tickets = new Map<string, Ticket>();
  readonly #granted = new Map<string, number>();
  /** Given back lately, and when. */
  readonly #released = new Map<string, number>();
  readonly #isolates = new Map<string, Isolate>();
  readonly #unheard = new Set<string>();
  #unheardUntilMs = 0;

  /** This object is new in memory: these isolates had slots in its life before, and have not said how many they have. */
  expect(isolates: readonly string[], nowMs: number): void {
    for (const isolate of isolates) this.#unheard.add(isolate);
    this.#unheardUntilMs = nowMs + HEARD_WITHIN_MS;
  }

  /** Whether there may be requests in flight that nobody has told of yet. */
  isUnsure(nowMs: number): boolean {
    return this.#unheard.size > 0 && nowMs < this.#unheardUntilMs;
  }

  /** Requests in flight on a host, as far as is known. */
  inFlight(host: string): number {
    let count = this.#granted.get(host) ?? 0;
    for (const { used } of this.#isolates.values()) count += used.get(host) ?? 0;
    return count;
  }

  /** Slots of a host that nobody else may have: in flight, or given in advance. */
  held(host: string, nowMs: number): number {
    let count = this.inFlight(host);
    for (const { spare } of this.#isolates.values()) {
      const given = spare.get(host);
      if (given !== undefined && Math.abs(nowMs - given.atMs) < SPARE_KEPT_MS) count += given.count;
    }
    return count;
  }

  /** Slots that isolates may still fill by themselves. */
  spare(host: string, nowMs: number): number {
    return this.held(host, nowMs) - this.inFlight(host);
  }

  /**
   * Whether an isolate may still start something on a host by itself: it has slots in advance there, or has used some and
   * not heard anything since.
   */
  mayStart(host: string, sinceMs: number, nowMs: number): boolean {
    if (this.spare(host, nowMs) > 0) return true;
    return [...this.#isolates.values()].some(({ used, heardAtMs }) => (used.get(host) ?? 0) > 0 && heardAtMs < sinceMs);
  }

  hostOf(id: string): string | undefined {
    return this.#tickets.get(id)?.host;
  }

  grant(id: string, holder: Holder, nowMs: number): void {
    // A report may come after the release that it does not know of.
    if (this.#tickets.has(id) || this.#released.has(id)) return;
    this.#tickets.set(id, { ...holder, grantedAtMs: nowMs, heardAtMs: nowMs, isReported: false });
    this.#granted.set(holder.host, (this.#granted.get(holder.host) ?? 0) + 1);
  }

  /** @returns the ticket that was given back, with when it was granted; undefined when there is none */
  release(id: string, nowMs: number): (Holder & { readonly grantedAtMs: number }) | undefined {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined) return undefined;
    this.#tickets.delete(id);
    this.#released.set(id, nowMs);
    this.#granted.set(ticket.host, Math.max(0, (this.#granted.get(ticket.host) ?? 0) - 1));
    return ticket;
  }

  /** Whether an isolate has reported to this object before: what it holds is known then. */
  knows(isolate: string): boolean {
    return this.#isolates.has(isolate);
  }

  /**
   * Takes in what an isolate holds. What it had in advance and neither uses nor keeps counts as handed back.
   *
   * @returns the tickets that it no longer has, or null when the report was overtaken by a later one
   */
  report({ isolate, seq, used, kept, tickets }: HoldingsReport, nowMs: number): string[] | null {
    this.#unheard.delete(isolate);
    const known = this.#isolates.get(isolate);
    if (known !== undefined && seq <= known.seq) return null;
    const spare = new Map(Object.entries(kept).map(([host, count]) => [host, { count, atMs: nowMs }]));
    this.#isolates.set(isolate, { seq, heardAtMs: nowMs, used: new Map(Object.entries(used)), spare });
    for (const [id, { host, servedAs }] of Object.entries(tickets)) {
      // Also those of a life of this object before this one.
      this.grant(id, { host, servedAs, isolate }, nowMs);
      const ticket = this.#tickets.get(id);
      if (ticket !== undefined) Object.assign(ticket, { heardAtMs: nowMs, isReported: true });
    }
    return [...this.#tickets]
      .filter(([id, ticket]) => ticket.isolate === isolate && ticket.isReported && !Object.hasOwn(tickets, id))
      .map(([id]) => id);
  }

  /** Gives an isolate slots in advance, until its next report; those that it kept it may have filled by then. */
  offer(isolate: string, host: string, count: number, nowMs: number): void {
    const spare = this.#isolates.get(isolate)?.spare;
    if (count > 0) spare?.set(host, { count: count + (spare.get(host)?.count ?? 0), atMs: nowMs });
  }

  /**
   * Forgets isolates that have fallen silent, and what they had in use.
   *
   * @returns tickets of theirs, for whoever releases them
   */
  silent(nowMs: number): string[] {
    // A clock that was set back must not keep anything for as long.
    const isLong = (sinceMs: number): boolean => Math.abs(nowMs - sinceMs) >= SILENT_AFTER_MS;
    for (const [name, { heardAtMs }] of this.#isolates) if (isLong(heardAtMs)) this.#isolates.delete(name);
    for (const [id, atMs] of this.#released) if (isLong(atMs)) this.#released.delete(id);
    return [...this.#tickets].filter(([, { heardAtMs }]) => isLong(heardAtMs)).map(([id]) => id);
  }
}
