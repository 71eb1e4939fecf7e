/**
 * An account's share of its tenant's caps: units that the tenant's object granted in advance, so that it is asked once
 * for many requests. A grant is good for a sixtieth of its window and counts there as spent when it was made, whatever
 * becomes of it; what was not spent is handed back with the next question. A plain collection: no I/O.
 */
import type { Cost, Limit } from "./windows.ts";

/** Units of one limit, at the tenant's clock. */
export type Credit = { readonly limit: Limit; readonly atMs: number; readonly units: number };
export type Wanted = { readonly limit: Limit; readonly units: number };

type Grant = { readonly limit: Limit; readonly atMs: number; readonly usableUntilMs: number; left: number };

/** A grant may be spent for this part of its window. */
export const USABLE_FOR = 1 / 60;
/** A request asks for this part of the cap in advance, so that the tenant's object sees about one request in fifty. */
const IN_ADVANCE = 1 / 50;

export class Grants {
  readonly #held = new Map<string, Grant>();
  #credits: Credit[] = [];

  /** What a request of this cost lacks; empty when it is covered. */
  missing(limits: readonly Limit[], cost: Cost, nowMs: number): Wanted[] {
    return limits.flatMap((limit) => {
      const units = cost[limit.unit];
      const grant = this.#usable(limit, nowMs);
      if (units === 0 || (grant !== undefined && grant.left >= units)) return [];
      return [{ limit, units }];
    });
  }

  /** Spends what `missing` found to be covered. @returns from which grants, to be handed back in part at the settle */
  spend(limits: readonly Limit[], cost: Cost, nowMs: number): Credit[] {
    return limits.flatMap((limit) => {
      const units = cost[limit.unit];
      const grant = this.#usable(limit, nowMs);
      if (units === 0 || grant === undefined) return [];
      grant.left -= units;
      return [{ limit, atMs: grant.atMs, units }];
    });
  }

  /**
   * Takes a grant. What is left of the one before is handed back.
   *
   * @param atMs when it was made, by the tenant's clock
   * @param askedAtMs when it was asked for, by this object's clock: it is good from then on
   */
  add(limit: Limit, units: number, atMs: number, askedAtMs: number): void {
    this.#drop(limit.name);
    this.#held.set(limit.name, { limit, atMs, usableUntilMs: askedAtMs + limit.windowMs * USABLE_FOR, left: units });
  }

  /** Hands units back to where they came from; a negative number takes more. */
  giveBack(credit: Credit): void {
    const grant = this.#held.get(credit.limit.name);
    if (grant !== undefined && grant.atMs === credit.atMs && grant.left + credit.units >= 0) grant.left += credit.units;
    else if (credit.units !== 0) this.#credits.push(credit);
  }

  /** What goes back with the next question; it is forgotten here. */
  takeCredits(): Credit[] {
    const credits = this.#credits;
    this.#credits = [];
    return credits;
  }

  #usable(limit: Limit, nowMs: number): Grant | undefined {
    const grant = this.#held.get(limit.name);
    if (grant === undefined || grant.usableUntilMs > nowMs) return grant;
    this.#drop(limit.name);
    return undefined;
  }

  #drop(name: string): void {
    const grant = this.#held.get(name);
    this.#held.delete(name);
    if (grant !== undefined && grant.left > 0)
      this.#credits.push({ limit: grant.limit, atMs: grant.atMs, units: grant.left });
  }
}

/** What to ask the tenant for: what the request needs, and some for those that follow. */
export function inAdvance({ limit, units }: Wanted): Wanted {
  return { limit, units: Math.max(units, Math.floor(limit.max * IN_ADVANCE)) };
}
