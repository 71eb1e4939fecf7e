/**
 * The open leases of one account: requests that were admitted and have not been settled. They hold the caller's slots of
 * requests in flight, and what they were charged until it is known what they cost. A plain collection: no I/O, no clock.
 */
import type { InferenceEvent } from "#src/usage/event.ts";
import type { Credit } from "./grants.ts";
import type { Cost, Limit } from "./windows.ts";

/** Requests in flight at once: the account's, or those of one model or key. */
export type Slot = { readonly name: string; readonly max: number };

/** What was charged for a lease, kept with it so that the charge can be corrected. */
export type Charge = {
  readonly limits: readonly Limit[];
  readonly cost: Cost;
  /** By the account's own clock. */
  readonly atMs: number;
};

/** What becomes known of a request while it runs. */
export type Progress = Partial<
  Pick<InferenceEvent, "host" | "servedAs" | "attempts" | "promptTokens" | "completionTokens" | "ttftMs">
>;

export type OpenLease = {
  readonly id: string;
  /** The names of the slots that it holds. */
  readonly slots: readonly string[];
  readonly charge: Charge;
  /** What it took of its tenant's grants. */
  readonly credits: readonly Credit[];
  /** The event as it stands if nobody ever settles. */
  readonly event: InferenceEvent;
  /** By the account's own clock, as all times here. */
  readonly openedAtMs: number;
  /** When its holder was last heard of. */
  readonly heardAtMs: number;
  /** When it was first found silent for too long; null while it is not. */
  readonly doubtedAtMs: number | null;
};

/** A holder that was not heard of for this long, three renewals, is doubted, and its slots are free again. */
export const DOUBTED_AFTER_MS = 30_000;
/** When it is still silent this much later, its request counts as abandoned. So a clock that leaps ahead kills nobody. */
const ABANDONED_AFTER_MS = 15_000;
/** How long requests of this caller took, of the last so many, tells when a slot will be free. */
const REMEMBERED = 16;

/**
 * Kept in the order in which their holders were last heard of, and counted by slot, so that an account with a thousand
 * requests in flight admits the next one as fast as one with none.
 */
export class Leases {
  readonly #open = new Map<string, OpenLease>();
  /** Of open leases, by slot. */
  readonly #held = new Map<string, number>();
  readonly #doubted = new Set<string>();
  #latestMs = Number.NEGATIVE_INFINITY;
  readonly #tookMs: number[] = [];

  get size(): number {
    return this.#open.size;
  }

  get(id: string): OpenLease | undefined {
    return this.#open.get(id);
  }

  open(lease: OpenLease): void {
    this.#forget(lease.id);
    const isLate = lease.heardAtMs < this.#latestMs;
    this.#put(lease);
    // Those of an instance before this one come in any order.
    if (isLate) this.#sort();
    for (const slot of lease.slots) this.#held.set(slot, (this.#held.get(slot) ?? 0) + 1);
  }

  /** The holder lives. @returns the lease as it was, or undefined when there is none */
  renew(id: string, progress: Progress, nowMs: number): OpenLease | undefined {
    const lease = this.#open.get(id);
    if (lease === undefined) return undefined;
    this.#open.delete(id);
    this.#put({ ...lease, heardAtMs: nowMs, doubtedAtMs: null, event: { ...lease.event, ...progress } });
    return lease;
  }

  /** Ends a lease. @returns it, or undefined when there is none */
  close(id: string, nowMs: number): OpenLease | undefined {
    const lease = this.#forget(id);
    if (lease === undefined) return undefined;
    this.#tookMs.push(Math.max(0, nowMs - lease.openedAtMs));
    if (this.#tookMs.length > REMEMBERED) this.#tookMs.shift();
    return lease;
  }

  /** Requests in flight under a slot's name. */
  inFlight(name: string, nowMs: number): number {
    this.#fromNow(nowMs);
    let silent = 0;
    for (const lease of this.#open.values()) {
      if (nowMs - lease.heardAtMs < DOUBTED_AFTER_MS) break;
      if (lease.slots.includes(name)) silent++;
    }
    return (this.#held.get(name) ?? 0) - silent;
  }

  /**
   * Until a slot is likely to be free: when the request that has run longest will have taken as long as the longest of
   * the last ones did. A prediction; a second at least.
   */
  freeInMs(name: string, nowMs: number): number {
    const longestMs = Math.max(0, ...this.#tookMs);
    const runForMs = this.#holders(name, nowMs).map(({ openedAtMs }) => nowMs - openedAtMs);
    return Math.max(1_000, longestMs - Math.max(0, ...runForMs));
  }

  /**
   * Doubts the holders that fell silent.
   *
   * @param silentSinceMs says of a lease since when nobody was heard of
   * @returns their leases
   */
  doubt(nowMs: number, silentSinceMs = ({ heardAtMs }: OpenLease): number => heardAtMs): OpenLease[] {
    this.#fromNow(nowMs);
    const silent = [...this.#open.values()].filter(
      (lease) => lease.doubtedAtMs === null && nowMs - silentSinceMs(lease) >= DOUBTED_AFTER_MS,
    );
    const doubted = silent.map((lease) => ({ ...lease, doubtedAtMs: nowMs }));
    for (const lease of doubted) this.#put(lease);
    return doubted;
  }

  /** Leases whose holders stayed silent: their requests count as abandoned. Close them. */
  abandoned(nowMs: number): OpenLease[] {
    return this.#inDoubt().filter(({ doubtedAtMs }) => nowMs - doubtedAtMs >= ABANDONED_AFTER_MS);
  }

  /** How long until silent holders should be looked after next; null without any lease. */
  nextLookInMs(nowMs: number): number | null {
    if (this.#open.size === 0) return null;
    let lookAtMs = Number.POSITIVE_INFINITY;
    for (const { heardAtMs, doubtedAtMs } of this.#open.values()) {
      if (doubtedAtMs !== null) continue;
      lookAtMs = Math.min(heardAtMs, nowMs) + DOUBTED_AFTER_MS;
      break;
    }
    for (const { doubtedAtMs } of this.#inDoubt())
      lookAtMs = Math.min(lookAtMs, Math.min(doubtedAtMs, nowMs) + ABANDONED_AFTER_MS);
    return Math.max(0, lookAtMs - nowMs);
  }

  /** One that is there already keeps its place. */
  #put(lease: OpenLease): void {
    this.#open.set(lease.id, lease);
    this.#latestMs = Math.max(this.#latestMs, lease.heardAtMs, lease.doubtedAtMs ?? lease.heardAtMs);
    if (lease.doubtedAtMs === null) this.#doubted.delete(lease.id);
    else this.#doubted.add(lease.id);
  }

  #sort(): void {
    const sorted = [...this.#open].sort(([, one], [, other]) => one.heardAtMs - other.heardAtMs);
    this.#open.clear();
    for (const [id, lease] of sorted) this.#open.set(id, lease);
  }

  #forget(id: string): OpenLease | undefined {
    const lease = this.#open.get(id);
    if (lease === undefined) return undefined;
    this.#open.delete(id);
    this.#doubted.delete(id);
    for (const slot of lease.slots) this.#held.set(slot, (this.#held.get(slot) ?? 1) - 1);
    return lease;
  }

  #inDoubt(): (OpenLease & { readonly doubtedAtMs: number })[] {
    return [...this.#doubted].flatMap((id) => {
      const lease = this.#open.get(id);
      return lease === undefined || lease.doubtedAtMs === null ? [] : [{ ...lease, doubtedAtMs: lease.doubtedAtMs }];
    });
  }

  /** What a clock that had leapt ahead put into the future was now. */
  #fromNow(nowMs: number): void {
    if (this.#latestMs <= nowMs) return;
    this.#latestMs = nowMs;
    for (const lease of this.#open.values()) {
      const heardAtMs = Math.min(lease.heardAtMs, nowMs);
      const doubtedAtMs = lease.doubtedAtMs === null ? null : Math.min(lease.doubtedAtMs, nowMs);
      if (heardAtMs !== lease.heardAtMs || doubtedAtMs !== lease.doubtedAtMs)
        this.#open.set(lease.id, { ...lease, heardAtMs, doubtedAtMs });
    }
  }

  #holders(name: string, nowMs: number): OpenLease[] {
    const holders: OpenLease[] = [];
    for (const lease of this.#open.values())
      if (lease.slots.includes(name) && nowMs - lease.heardAtMs < DOUBTED_AFTER_MS) holders.push(lease);
    return holders;
  }
}
