/**
 * What an account does by itself, and when: looking after silent holders, and sending events. While its object lives a
 * timer does it; the alarm is for one that died, and for what waits for longer than an instance may live. The platform is
 * an argument.
 */
import { Wake } from "./wake.ts";

/** What there is to do, wall clock in ms; null for nothing. */
export type Duties = {
  /** A silent holder is to be looked after. */
  readonly lookAtMs: number | null;
  /** An event is to be sent. */
  readonly sendAtMs: number | null;
  /** The queue did not take what it was sent last. */
  readonly isFailing: boolean;
};

/** What is needed of the object. */
export type Platform = {
  readonly setAlarm: (atMs: number) => void;
  /** Keeps the object until work is done. */
  readonly defer: (work: Promise<void>) => void;
  /** Wall clock in ms. */
  readonly now: () => number;
};

/**
 * The alarm of an event that a timer will send is set for this much later: it comes with the one that looks after leases,
 * so that steady traffic sets one in half a minute and not one a second.
 */
const IF_DEAD_AFTER_MS = 30_000;

export class Errands {
  readonly #platform: Platform;
  readonly #duties: () => Duties;
  readonly #run: () => Promise<void>;
  readonly #sendAfterMs: number;
  readonly #wake: Wake;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #running: Promise<void> | null = null;

  /**
   * @param duties looks at what there is to do
   * @param run does what is due; never rejects
   * @param sendAfterMs how long an event waits for others to be sent with it
   */
  constructor(platform: Platform, duties: () => Duties, run: () => Promise<void>, sendAfterMs: number) {
    this.#platform = platform;
    this.#duties = duties;
    this.#run = run;
    this.#sendAfterMs = sendAfterMs;
    this.#wake = new Wake(platform.setAlarm);
  }

  /**
   * For an object that is new in memory. By the alarm alone: what ended the instance before this one may end it too, and
   * its timer with it.
   *
   * @param alarmAtMs what the storage says of it
   */
  begin(alarmAtMs: number | null): void {
    this.#wake.found(alarmAtMs);
    this.#setAlarm(this.#duties(), 0);
  }

  /** The alarm has rung. Never rejects. */
  rang(): Promise<void> {
    this.#wake.rang();
    return this.#go();
  }

  /** Something has changed: sees that the object wakes for whatever comes first. */
  arm(): void {
    const duties = this.#duties();
    const { sendAtMs, isFailing } = duties;
    const isSoon = sendAtMs !== null && sendAtMs - this.#platform.now() <= this.#sendAfterMs && !isFailing;
    if (isSoon)
      this.#timer ??= setTimeout(() => {
        this.#timer = null;
        this.#platform.defer(this.#go());
      }, this.#sendAfterMs);
    this.#setAlarm(duties, isSoon ? IF_DEAD_AFTER_MS : 0);
  }

  #go(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
      this.arm();
    });
    return this.#running;
  }

  /** @param graceMs how long after it is due an event may be sent */
  #setAlarm({ lookAtMs, sendAtMs }: Duties, graceMs: number): void {
    const never = Number.POSITIVE_INFINITY;
    const atMs = Math.min(lookAtMs ?? never, (sendAtMs ?? never) + graceMs);
    if (atMs !== never) this.#wake.at(atMs, this.#platform.now());
  }
}
