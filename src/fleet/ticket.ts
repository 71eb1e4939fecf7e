/**
 * A ticket for one host: from the order of preference to a slot that is this request's. Where the first choice is plainly
 * free it is one that the isolate was given in advance; else the Fleet object grants one, at once or in its turn, or says
 * when to come back. A Fleet object that cannot be reached leaves the isolate to its own count.
 */
import { within } from "#src/within.ts";
import type { Fleet } from "./fleet.do.ts";
import type { Taken } from "./fleet-words.ts";
import type { Outcome } from "./outcome.ts";
import type { TakeRequest } from "./take.ts";
import type { TicketBook } from "./ticket-book.ts";
import { capacityOf } from "./view.ts";
import type { Weighed } from "./weigh.ts";

/** The first question is answered soon, so that an object that hangs is told from a line. */
const FIRST_POLL_MS = 250;
const POLL_MS = 2_000;
/** An answer that takes longer than it should by so much does not come. */
const GRACE_MS = 1_000;
/** An object that could not be reached is not asked again for this long. */
const LOST_FOR_MS = 2_000;

/** Where nobody can tell when a slot comes free: whoever asks again then finds the object back, or is told by it. */
const UNFORETOLD_RETRY_AFTER_MS = 1_000;

/** The Fleet object's methods as they are seen from outside. */
export type FleetStub = {
  take(...of: Parameters<Fleet["take"]>): Promise<Taken>;
  leave(id: string): Promise<void>;
  release(...of: Parameters<Fleet["release"]>): Promise<void>;
};

export type Ticket = {
  readonly id: string;
  readonly choice: Weighed;
  /** In line for this host; null where there was none to wait in. */
  readonly waitedMs: number | null;
  /** `local`: the Fleet object could not be reached. */
  readonly placedBy: "fleet" | "local";
  /**
   * Gives the slot back, once.
   *
   * @param weight what the request really weighed; null when nobody knows
   */
  readonly finish: (outcome: Outcome, weight: number | null) => void;
};

export type Turn =
  | { readonly kind: "ticket"; readonly ticket: Ticket }
  | { readonly kind: "refused"; readonly because: "full" | "share" | "out"; readonly retryAfterMs: number }
  | { readonly kind: "left" };

export type Wish = Pick<
  TakeRequest,
  | "id"
  | "isCopy"
  | "account"
  | "share"
  | "priority"
  | "weight"
  | "model"
  | "waitedMs"
  | "maxWaitMs"
  | "mayCutWait"
  | "maxWaiting"
> & {
  /** First choice first; not empty. */
  readonly order: readonly Weighed[];
  /** Aborted when the caller has left. */
  readonly left: AbortSignal;
  /**
   * Nobody waits for it: like a copy it takes what is left over or is refused, and it leaves some slots free on top, so
   * that whoever comes next finds one. Never decided by the isolate alone.
   */
  readonly isBackground?: boolean;
};

export type Counter = {
  readonly book: TicketBook;
  /** Until when the Fleet object is taken for lost, ms since the epoch. */
  readonly lost: { untilMs: number };
  readonly connect: () => FleetStub;
  /** Tells the Fleet object what this isolate holds, which it wants to know before it grants anything. */
  readonly report: () => Promise<void>;
  /** Whether somebody waits for a host, as far as this isolate has heard. */
  readonly isAwaited: (host: string) => boolean;
  /** Runs work after the response (`waitUntil`). */
  readonly defer: (work: Promise<void>) => void;
  readonly now: () => number;
};

/** One slot of so many is left to those who wait for their answers. */
const LEFT_FREE_PART = 4;

/**
 * How many of a host's slots may be in use after work has begun that nobody waits for: a quarter stays free, one slot at
 * least. Of a single slot nothing can be left.
 */
export function leftOver(capacity: number): number {
  return Math.max(1, capacity - Math.ceil(capacity / LEFT_FREE_PART));
}

/** One ticket for one of these hosts. Never rejects. */
export async function takeTicket(counter: Counter, wish: Wish): Promise<Turn> {
  if (wish.isBackground !== true) {
    const plain = spareTicket(counter, wish, wish.order.slice(0, 1), "first choice, plainly free");
    if (plain !== null) return { kind: "ticket", ticket: plain };
  }
  const { now } = counter;
  if (now() < counter.lost.untilMs) return locally(counter, wish);
  const forgets = (): void => counter.defer(forget(counter, wish.id));
  // Who leaves gets out of the line at once, and the question under way is answered. A ticket goes back by its end only.
  wish.left.addEventListener("abort", forgets, { once: true });
  try {
    return await inLine(counter, wish);
  } catch (cause) {
    console.error(JSON.stringify({ at: "fleet.take", id: wish.id, cause: String(cause) }));
    counter.lost.untilMs = now() + LOST_FOR_MS;
    // It may have granted one all the same.
    forgets();
    return locally(counter, wish);
  } finally {
    wish.left.removeEventListener("abort", forgets);
  }
}

async function inLine(counter: Counter, wish: Wish): Promise<Turn> {
  const { book, connect, now } = counter;
  const { order, left, isBackground = false, ...rest } = wish;
  const pairs = order.map(({ host, served }) => {
    const capacity = isBackground ? leftOver(capacityOf(host)) : capacityOf(host);
    return { host: host.id, servedAs: served.as, capacity };
  });
  const request = { ...rest, ...(isBackground ? { isCopy: true } : {}), pairs, isolate: book.isolate };
  const sinceMs = now();
  for (let polls = 0; ; polls++) {
    const waitedMs = now() - sinceMs;
    // Nobody is kept for longer than it bears to wait.
    const pollMs = Math.min(polls === 0 ? FIRST_POLL_MS : POLL_MS, Math.max(0, wish.maxWaitMs - waitedMs));
    if (left.aborted) return polls === 0 ? { kind: "left" } : gone(counter, wish);
    const answer = await within(pollMs + GRACE_MS, connect().take(request, pollMs));
    if (answer.kind === "unknown") {
      await counter.report();
      if (waitedMs > POLL_MS) throw new Error("the Fleet object does not hear what this isolate holds");
      continue;
    }
    if (answer.kind === "granted") {
      if (left.aborted) return gone(counter, wish);
      const choice = order.find(({ host }) => host.id === answer.host);
      if (choice === undefined) throw new Error(`the Fleet object chose ${answer.host}, which was not asked for`);
      const inLineMs = now() - sinceMs;
      // There was room all along: more slots in advance would have spared the question.
      if (!answer.waited && polls === 0 && !isBackground && book.mayReportEarly(now())) counter.defer(counter.report());
      return {
        kind: "ticket",
        ticket: grantedTicket(counter, wish.id, choice, answer.waited || polls > 0 ? inLineMs : null),
      };
    }
    // What keeps this request waiting may have been given to its own isolate meanwhile.
    const plain = isBackground ? null : spareTicket(counter, wish, order, "plainly free by now");
    if (answer.kind === "refused" && plain === null) return answer;
    if (plain === null && waitedMs < wish.maxWaitMs) continue;
    counter.defer(forget(counter, wish.id));
    if (plain !== null) return { kind: "ticket", ticket: plain };
    return { kind: "refused", because: "full", retryAfterMs: UNFORETOLD_RETRY_AFTER_MS };
  }
}

/** Whoever left has said so already, but perhaps before its question was heard: it is said again. */
function gone(counter: Counter, { id }: Wish): Turn {
  counter.defer(forget(counter, id));
  return { kind: "left" };
}

/** A slot of one of these hosts that was given in advance; null when there is none. */
function spareTicket(counter: Counter, wish: Wish, choices: readonly Weighed[], why: string): Ticket | null {
  const { book, now } = counter;
  const choice = choices.find(
    ({ standing, host, served }) => standing === "able" && book.takeSpare(wish.id, host.id, served.as, now()),
  );
  if (choice === undefined) return null;
  record(counter, wish, choice.host.id, why);
  return usedTicket(counter, wish.id, choice, "fleet");
}

/** By the isolate's own count: never more than a host has slots for, as far as this isolate can see. */
function locally(counter: Counter, wish: Wish): Turn {
  const { book } = counter;
  const order = wish.isBackground === true ? [] : wish.order;
  const choice = order.find(({ host }) => book.inFlight(host.id) < capacityOf(host));
  if (choice === undefined) return { kind: "refused", because: "full", retryAfterMs: UNFORETOLD_RETRY_AFTER_MS };
  book.hold(wish.id, choice.host.id, choice.served.as, false, counter.now());
  record(counter, wish, choice.host.id, "the Fleet object cannot be reached");
  return { kind: "ticket", ticket: usedTicket(counter, wish.id, choice, "local") };
}

function grantedTicket(counter: Counter, id: string, choice: Weighed, waitedMs: number | null): Ticket {
  const { book, now } = counter;
  const { host, served } = choice;
  const sinceMs = now();
  book.hold(id, host.id, served.as, true, sinceMs);
  const finish = once((outcome: Outcome, weight: number | null) => {
    book.drop(id, now());
    book.saw(host.id, outcome, now());
    counter.defer(release(counter, { id, choice, sinceMs }, outcome, weight));
  });
  return { id, choice, waitedMs, placedBy: "fleet", finish };
}

async function release(
  { book, connect, now }: Counter,
  { id, choice: { host, served }, sinceMs }: { id: string; choice: Weighed; sinceMs: number },
  outcome: Outcome,
  weight: number | null,
): Promise<void> {
  const heldMs = now() - sinceMs;
  try {
    await connect().release(id, outcome, weight);
  } catch (cause) {
    // Its slot is free as soon as this isolate's next report does not list it.
    console.error(JSON.stringify({ at: "fleet.release", id, cause: String(cause) }));
    book.note(host.id, served.as, outcome, heldMs);
  }
}

function usedTicket(counter: Counter, id: string, choice: Weighed, placedBy: Ticket["placedBy"]): Ticket {
  const { book, now } = counter;
  const { host, served } = choice;
  const sinceMs = now();
  const finish = once((outcome: Outcome) => {
    book.drop(id, now());
    book.saw(host.id, outcome, now());
    book.note(host.id, served.as, outcome, now() - sinceMs);
    // A failure is news, and so is a slot that somebody waits for.
    const isNews = outcome.kind === "failed" || outcome.kind === "busy" || counter.isAwaited(host.id);
    if (isNews) counter.defer(counter.report());
  });
  return { id, choice, waitedMs: null, placedBy, finish };
}

async function forget({ connect }: Counter, id: string): Promise<void> {
  try {
    await connect().leave(id);
  } catch (cause) {
    // Who asks no more is forgotten all the same.
    console.error(JSON.stringify({ at: "fleet.leave", id, cause: String(cause) }));
  }
}

function record({ book, now }: Counter, { id, model }: Wish, host: string, why: string): void {
  book.decided({ atMs: now(), id, model, host, why });
}

/** What ends is ended once, however often it is said. */
export function once<A extends unknown[]>(work: (...args: A) => void): (...args: A) => void {
  let isDone = false;
  return (...args) => {
    if (isDone) return;
    isDone = true;
    work(...args);
  };
}
