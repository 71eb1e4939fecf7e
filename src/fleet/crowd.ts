/**
 * Those who want the same hosts: whether they ask for more than these can do, and what each of them may then ask for. A
 * short line alone cannot be fair: who asks most often is there most often when a slot comes free. So while there is too
 * much, everyone's demand is cut down to the same rate by share before it competes (the fair rate of core-stateless fair
 * queueing: Stoica, Shenker and Zhang, SIGCOMM 1998): the rate at which all demands, none above it, add up to a little
 * more than is served. Those below it are not touched. The clock is an argument.
 */

/** The half-life of what is known of the demand of all: the time in which so many requests are served, within bounds. */
const HALF_LIFE_REQUESTS = 8;
const SHORTEST_HALF_LIFE_MS = 350;
const LONGEST_HALF_LIFE_MS = 3_000;
/** Of one caller's demand, which comes in few requests: to be known well rather than soon. */
const CALLER_HALF_LIFE_MS = 4_000;
/** Demand that is let through beyond what is served, so that no slot waits for somebody to ask. */
const HEADROOM = 1.1;
const RECKONED_EVERY_MS = 250;
/** One whom nobody came before for two half-lives is never too much, however slow the host. */
const ALONE = 1.25;
/** Who has not asked for this long asks no more. */
const FORGOTTEN_AFTER_MS = 30_000;
/** So many times what is served is no burst any more that a line will swallow. */
const TOO_MUCH = 1.5;
/** A line that has not been empty for this long stands (CoDel's interval: 100 ms to 1 s; Nichols and Jacobson, 2012). */
const STANDS_AFTER_MS = 500;

type Demand = {
  /** Decayed sum of what was asked for, by share. */
  readonly asked: number;
  readonly share: number;
  /** Decayed sum of what it was let in with, by share. */
  let: number;
  /** What the caller may ask for now, by share; below 0 it has to wait. */
  credit: number;
  readonly atMs: number;
};

export type Ask = { readonly account: string; readonly share: number; readonly weight: number };

export class Crowd {
  readonly #demands = new Map<string, Demand>();
  /** Decayed sums over all callers: requests, and what they weigh. */
  #requests = 0;
  #asked = 0;
  #askedAtMs = 0;
  #halfLifeMs = 1_000;
  /** What a caller may ask for, by share and ms. */
  #rate = Number.POSITIVE_INFINITY;
  #reckonedAtMs = Number.NEGATIVE_INFINITY;
  #waiting = 0;
  #standsSinceMs: number | null = null;
  #isOverloaded = false;

  /** Nobody has asked for a while, and nobody waits. */
  isGone(nowMs: number): boolean {
    return this.#waiting === 0 && nowMs - this.#askedAtMs >= FORGOTTEN_AFTER_MS;
  }

  /** Forgets callers who ask no more. */
  forgetGone(nowMs: number): void {
    for (const [account, { atMs }] of this.#demands)
      if (nowMs - atMs >= FORGOTTEN_AFTER_MS) this.#demands.delete(account);
  }

  /** How many callers are remembered. */
  get callers(): number {
    return this.#demands.size;
  }

  /** How many of them wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** One more waits, or one less. */
  waits(change: 1 | -1, nowMs: number): void {
    this.#waiting += change;
    if (this.#waiting === 0) this.#standsSinceMs = null;
    else this.#standsSinceMs ??= nowMs;
  }

  /**
   * Somebody asks.
   *
   * @param servedPerMs requests that the hosts can serve; null while nobody knows
   * @returns whether more is asked for than that, and has been for long enough that a line stands
   */
  asks({ account, share, weight }: Ask, servedPerMs: number | null, nowMs: number): boolean {
    if (servedPerMs !== null) this.#halfLifeMs = halfLifeFor(servedPerMs);
    const kept = keptAfter(nowMs - this.#askedAtMs, this.#halfLifeMs);
    this.#requests = this.#requests * kept + 1;
    this.#asked = this.#asked * kept + weight;
    this.#askedAtMs = nowMs;
    // Who comes anew may ask for one request like everyone who has been here, or its first would always be refused.
    const before = this.#demands.get(account) ?? { asked: 0, let: 0, credit: weight / share, atMs: nowMs };
    const elapsedMs = Math.max(0, nowMs - before.atMs);
    const earned = Number.isFinite(this.#rate) ? this.#rate * elapsedMs : Number.POSITIVE_INFINITY;
    this.#demands.set(account, {
      share,
      asked: before.asked * keptAfter(elapsedMs, CALLER_HALF_LIFE_MS) + weight / share,
      let: before.let * keptAfter(elapsedMs, CALLER_HALF_LIFE_MS),
      // Three requests' worth is saved up, no more.
      credit: Math.min((3 * weight) / share, before.credit + earned),
      atMs: nowMs,
    });
    const stands = this.#standsSinceMs !== null && nowMs - this.#standsSinceMs >= STANDS_AFTER_MS;
    const wasOverloaded = this.#isOverloaded;
    const begins = stands && this.#exceeds(TOO_MUCH, servedPerMs);
    this.#isOverloaded = begins || (wasOverloaded && this.#exceeds(1, servedPerMs));
    if (!this.#isOverloaded) this.#rate = Number.POSITIVE_INFINITY;
    else if (nowMs - this.#reckonedAtMs >= RECKONED_EVERY_MS) this.#reckon(servedPerMs ?? 0, nowMs);
    if (this.#isOverloaded && !wasOverloaded) this.#owe(nowMs);
    return this.#isOverloaded;
  }

  /** How long a caller who has asked must wait until it may, in ms; 0 when it may now. */
  shareMs(account: string): number {
    const credit = this.#demands.get(account)?.credit ?? 0;
    return credit > 0 || this.#rate === Number.POSITIVE_INFINITY ? 0 : (1 - credit) / this.#rate;
  }

  /** A caller was let in. */
  lets({ account, share, weight }: Ask): void {
    const demand = this.#demands.get(account);
    if (demand === undefined) return;
    demand.credit -= weight / share;
    demand.let += weight / share;
  }

  /** Whether more is asked for than so many times what is served. */
  #exceeds(times: number, servedPerMs: number | null): boolean {
    if (servedPerMs === null || this.#requests < ALONE) return false;
    return perMs(this.#requests, this.#halfLifeMs) > times * servedPerMs;
  }

  /** Who was let in with more than its share before anybody was held to it owes that. */
  #owe(nowMs: number): void {
    const sums = this.#sums(nowMs);
    const letIn = sums.reduce((sum, { had, share }) => sum + had * share, 0);
    const level = levelOf(sums, letIn);
    for (const { demand, had } of sums) demand.credit = Math.min(demand.credit, level - had);
  }

  /**
   * The rate at which the larger demands are cut. What each asks for is taken as its part of what all ask for: that is
   * known a second after it has changed, when of one caller's few requests not much can be said.
   */
  #reckon(servedPerMs: number, nowMs: number): void {
    this.#reckonedAtMs = nowMs;
    const sums = this.#sums(nowMs);
    const all = sums.reduce((sum, { asked, share }) => sum + asked * share, 0);
    const level = levelOf(sums, (HEADROOM * servedPerMs * all) / perMs(this.#requests, this.#halfLifeMs));
    this.#rate = level * (perMs(this.#asked, this.#halfLifeMs) / all);
  }

  /** Everyone's decayed sums as of now; who asks no more is forgotten. */
  #sums(nowMs: number): (Sum & { readonly demand: Demand; readonly had: number })[] {
    return [...this.#demands].flatMap(([account, demand]) => {
      const { share, asked, let: had, atMs } = demand;
      const kept = keptAfter(nowMs - atMs, CALLER_HALF_LIFE_MS);
      if (nowMs - atMs < FORGOTTEN_AFTER_MS) return [{ demand, share, asked: asked * kept, had: had * kept }];
      this.#demands.delete(account);
      return [];
    });
  }
}

/** What was asked for, by share. */
type Sum = { readonly asked: number; readonly share: number };

/**
 * The level to which an amount fills all demands up, the smallest first: nobody has more than that by share, and who
 * asked for less has all of it. Infinite where there is enough for everybody.
 */
function levelOf(sums: readonly Sum[], amount: number): number {
  let left = amount;
  let shares = sums.reduce((sum, { share }) => sum + share, 0);
  for (const { asked, share } of sums.toSorted((a, b) => a.asked - b.asked)) {
    if (asked * shares > left) return left / shares;
    left -= asked * share;
    shares -= share;
  }
  return Number.POSITIVE_INFINITY;
}

/** Of few requests not much can be said, and of many it can be said soon. */
function halfLifeFor(servedPerMs: number): number {
  return Math.min(LONGEST_HALF_LIFE_MS, Math.max(SHORTEST_HALF_LIFE_MS, HALF_LIFE_REQUESTS / servedPerMs));
}

function keptAfter(elapsedMs: number, halfLifeMs: number): number {
  return 0.5 ** (Math.max(0, elapsedMs) / halfLifeMs);
}

/** The rate that a decayed sum stands for: a steady rate adds up to rate x half-life / ln 2. */
function perMs(sum: number, halfLifeMs: number): number {
  return (sum * Math.LN2) / halfLifeMs;
}
