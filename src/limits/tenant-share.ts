/**
 * How an account gets at its tenant's units: from the grants it holds, and when they do not suffice by one question for
 * all requests that wait. Promises are shared between calls, which is sound within one Durable Object.
 */
import { type Credit, Grants, type Wanted } from "./grants.ts";
import type { TenantAnswer } from "./tenant.ts";
import type { Cost, Limit, Standing } from "./windows.ts";

export type TenantCaps = {
  /** Names the tenant's object. */
  readonly id: string;
  readonly limits: readonly Limit[];
};

/** What this needs of the tenant's stub. */
export type TenantStub = { grant(wanted: readonly Wanted[], credits: readonly Credit[]): Promise<TenantAnswer> };

export type Share =
  /** The units are spent; those that turn out too many go back by `giveBack`. */
  | { readonly kind: "spent"; readonly credits: readonly Credit[] }
  | { readonly kind: "denied"; readonly violated: Standing; readonly retryAfterMs: number | null };

/** One request asks so often: a grant that expires on its way is of no use, and neither is asking for ever. */
const MOST_QUESTIONS = 3;

export class TenantShare {
  readonly #connect: (id: string) => TenantStub;
  readonly #grants = new Grants();
  #asking: Promise<void> | null = null;

  constructor(connect: (id: string) => TenantStub) {
    this.#connect = connect;
  }

  /**
   * Spends what one request costs.
   *
   * @throws what the tenant's object throws when it cannot be reached, or Error when its answers are always too late
   */
  async spend({ id, limits }: TenantCaps, cost: Cost, now: () => number): Promise<Share> {
    for (let questions = 0; ; ) {
      const wanted = this.#grants.missing(limits, cost, now());
      if (wanted.length === 0) return { kind: "spent", credits: this.#grants.spend(limits, cost, now()) };
      if (this.#asking !== null) {
        await this.#asking;
        continue;
      }
      if (questions === MOST_QUESTIONS) throw new Error("the tenant's object is too slow: what it grants has expired");
      questions += 1;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#asking = promise;
      try {
        const askedAtMs = now();
        // Credits are not kept for another question when this one fails: it may have arrived.
        const answer = await this.#connect(id).grant(wanted, this.#grants.takeCredits());
        if (answer.kind === "denied") return answer;
        for (const { limit, units } of answer.grants) this.#grants.add(limit, units, answer.atMs, askedAtMs);
      } finally {
        // Those that wait go on when this one has spent what it asked for.
        this.#asking = null;
        resolve();
      }
    }
  }

  /**
   * Hands back what a settled request did not use.
   *
   * @param used what it did
   */
  giveBack(credits: readonly Credit[], used: Cost): void {
    for (const { limit, atMs, units } of credits)
      this.#grants.giveBack({ limit, atMs, units: units - used[limit.unit] });
  }
}
