/**
 * A pool and isolates that use it over a network that delays, loses and reorders what they say, on a clock of its own.
 * Isolates are real ticket books that behave as `ticket.ts` and `snapshot.ts` do. The judge does not ask the pool: it
 * counts what the isolates really run.
 */

import { seeded } from "#scripts/storm/chance.ts";
import { Pool } from "#src/fleet/pool.ts";
import type { TakeRequest } from "#src/fleet/take.ts";
import { type Report, TicketBook } from "#src/fleet/ticket-book.ts";

export type Schedule = {
  readonly seed: number;
  readonly capacities: readonly number[];
  readonly isolates: number;
  readonly requests: number;
  /** Requests come within this time. */
  readonly withinMs: number;
  readonly serviceMs: number;
  /** Part of the messages that never arrive. */
  readonly loss: number;
  /** Part of the messages that take up to 1.5 s, others take up to 50 ms. */
  readonly late: number;
  /** Reports of an isolate that may be lost in a row. */
  readonly lossesInRow: number;
  /** Part of the callers who leave before they are done. */
  readonly leavers: number;
  /** Isolates that die at some time, with all that they run. */
  readonly deaths: number;
};

/** How a request ended: `lost` is one whose isolate heard nothing in time. */
export type End = "served" | "refused" | "gave up" | "left" | "lost" | "died";

export type Verdict = {
  /** Times that a host ran more than it has slots for; empty when the promise was kept. */
  readonly overruns: readonly string[];
  readonly ends: Readonly<Record<string, End>>;
  /** Requests that never ended. */
  readonly open: number;
  /** Slots that could be taken on each host in the end, after 20 s of silence. */
  readonly takeable: readonly number[];
  readonly stillWaiting: number;
  /** Tickets that were told twice, of different hosts. */
  readonly doubles: number;
};

const START_MS = 1_790_000_000_000;
const SWEEP_EVERY_MS = 10_000;
const COPY_FOR_MS = 2_000;
const SILENCE_MS = 20_000;

type Isolate = { readonly book: TicketBook; isDead: boolean; askedAtMs: number; lostInRow: number };

export function play(schedule: Schedule): Verdict {
  const chance = seeded(schedule.seed);
  const upTo = (ms: number): number => Math.floor(chance() * ms);
  const hosts = schedule.capacities.map((capacity, nth) => ({ id: `h${nth}`, capacity }));
  const pool = new Pool();
  const [overruns, ends, told] = [[] as string[], {} as Record<string, End>, new Map<string, string>()];
  let [nowMs, open, doubles] = [START_MS, 0, 0];
  const running = new Map<string, string>();
  /** Questions inside the Fleet object, by ticket. */
  const polls = new Map<string, (host: string | null) => void>();

  const events: { readonly atMs: number; readonly run: () => void }[] = [];
  const inMs = (ms: number, run: () => void): void => {
    const atMs = nowMs + ms;
    let place = events.length;
    while (place > 0 && (events[place - 1]?.atMs ?? 0) <= atMs) place--;
    events.splice(place, 0, { atMs, run });
  };
  const delayMs = (): number => (chance() < schedule.late ? upTo(1_500) : 1 + upTo(50));
  const isLost = (): boolean => chance() < schedule.loss;
  /** What is said may arrive. */
  const say = (run: () => void): void => {
    if (!isLost()) inMs(delayMs(), run);
  };

  const isolates = Array.from({ length: schedule.isolates }, (_, nth): Isolate => {
    return { book: new TicketBook(`i${nth}`), isDead: false, askedAtMs: Number.NEGATIVE_INFINITY, lostInRow: 0 };
  });

  const callTurns = (): void => {
    for (const { id, host } of pool.turns()) polls.get(id)?.(host);
  };
  const start = (id: string, host: string): void => {
    if (running.has(id)) doubles++;
    running.set(id, host);
    const count = [...running.values()].filter((other) => other === host).length;
    const { capacity } = hosts.find((known) => known.id === host) ?? { capacity: 0 };
    if (count > capacity) overruns.push(`${count} of ${capacity} on ${host} after ${nowMs - START_MS} ms`);
  };

  const report = (isolate: Isolate, done: () => void = () => undefined): void => {
    isolate.askedAtMs = nowMs;
    const sentAtMs = nowMs;
    const said: Report = isolate.book.report(nowMs);
    const fails = (): void => {
      isolate.book.unheard(said);
      done();
    };
    const isUnheard = isolate.lostInRow < schedule.lossesInRow && isLost();
    isolate.lostInRow = isUnheard ? isolate.lostInRow + 1 : 0;
    if (isUnheard) inMs(delayMs(), fails);
    else
      inMs(delayMs(), () => {
        const { spare } = pool.report(said, hosts, nowMs);
        callTurns();
        if (isLost()) inMs(delayMs(), fails);
        else
          inMs(delayMs(), () => {
            if (isolate.isDead) return;
            isolate.book.reported(said, spare, sentAtMs);
            done();
          });
      });
  };
  const look = (isolate: Isolate): void => {
    if (nowMs - isolate.askedAtMs >= COPY_FOR_MS) report(isolate);
  };

  /** One request from the caller's arrival to its end. */
  const arrive = (isolate: Isolate, nth: number): void => {
    const { book } = isolate;
    const id = `r${nth}`;
    const order = [...hosts].sort(() => chance() - 0.5).slice(0, 1 + upTo(hosts.length));
    const maxWaitMs = [0, 1_000, 5_000, 600_000][upTo(4)] ?? 0;
    const request: TakeRequest = {
      id,
      account: `a${upTo(3)}`,
      share: 1 + upTo(3),
      priority: upTo(2),
      weight: 1 + upTo(500),
      pairs: order.map(({ id: host, capacity }) => ({ host, servedAs: "m", capacity })),
      isolate: book.isolate,
      model: "m",
      waitedMs: 0,
      maxWaitMs,
      mayCutWait: chance() < 0.5,
      maxWaiting: 1_000,
    };
    const sinceMs = nowMs;
    let isOver = false;
    open++;
    const end = (how: End): void => {
      if (isOver) return;
      isOver = true;
      open--;
      ends[id] = how;
    };
    const forget = (): void => {
      say(() => {
        pool.leave(id, nowMs);
        polls.get(id)?.(null);
        callTurns();
      });
    };
    const run = (host: string, isGranted: boolean): void => {
      start(id, host);
      const beat = (): void => {
        if (isOver || isolate.isDead) return;
        book.lives(id, nowMs);
        look(isolate);
        inMs(2_000, beat);
      };
      inMs(2_000, beat);
      finish = (how) => {
        if (isOver) return;
        running.delete(id);
        end(how);
        if (isolate.isDead) return;
        book.drop(id, nowMs);
        if (isGranted)
          say(() => {
            pool.release(id, { kind: "ok", ttftMs: 100, tokensPerS: 40 }, 100, nowMs);
            callTurns();
          });
        else if (chance() < 0.3) report(isolate);
      };
      const serviceMs = 1 + upTo(2 * schedule.serviceMs);
      inMs(serviceMs, () => finish("served"));
    };
    let finish = (how: End): void => {
      end(how);
      if (!isolate.isDead) forget();
    };
    if (chance() < schedule.leavers) inMs(upTo(schedule.serviceMs * 4), () => finish("left"));
    ending.set(id, { isolate, finish: (how) => finish(how) });

    const ask = (pollMs: number): void => {
      if (isOver || isolate.isDead) return;
      let isAnswered = false;
      const answer = (then: () => void): void => {
        say(() => {
          if (isAnswered || isolate.isDead) return;
          isAnswered = true;
          if (!isOver) then();
        });
      };
      const answered = (host: string | null): void => {
        if (host !== null && told.has(id) && told.get(id) !== host) doubles++;
        if (host !== null) told.set(id, host);
        answer(() => {
          if (host !== null) {
            book.hold(id, host, "m", true, nowMs);
            run(host, true);
          } else if (nowMs - sinceMs >= maxWaitMs) {
            end("gave up");
            forget();
          } else ask(2_000);
        });
      };
      say(() => {
        if (!pool.holdings.knows(book.isolate)) return answer(() => report(isolate, () => inMs(1, () => ask(pollMs))));
        const now = pool.take(request, nowMs);
        if (now.kind === "granted") return answered(now.host);
        if (now.kind === "refused") return answer(() => end("refused"));
        polls.get(id)?.(null);
        const poll = (host: string | null): void => {
          if (polls.get(id) !== poll) return;
          polls.delete(id);
          answered(host);
        };
        polls.set(id, poll);
        inMs(pollMs, () => poll(null));
      });
      inMs(pollMs + 1_000, () => {
        if (isAnswered) return;
        isAnswered = true;
        if (isOver || isolate.isDead) return;
        end("lost");
        forget();
      });
    };
    look(isolate);
    const [first] = order;
    if (first !== undefined && book.takeSpare(id, first.id, "m", nowMs)) run(first.id, false);
    else ask(250);
  };

  const ending = new Map<string, { readonly isolate: Isolate; readonly finish: (how: End) => void }>();
  for (let nth = 0; nth < schedule.requests; nth++) {
    const isolate = isolates[nth % isolates.length];
    if (isolate !== undefined) inMs(upTo(schedule.withinMs), () => isolate.isDead || arrive(isolate, nth));
  }
  for (const isolate of isolates.slice(0, schedule.deaths))
    inMs(upTo(schedule.withinMs), () => {
      isolate.isDead = true;
      for (const one of ending.values()) if (one.isolate === isolate) one.finish("died");
    });

  let sweepAtMs = START_MS + SWEEP_EVERY_MS;
  const sweep = (): void => {
    pool.sweep(nowMs);
    callTurns();
  };
  for (let event = events.pop(); event !== undefined; event = events.pop()) {
    for (; sweepAtMs <= event.atMs; sweepAtMs += SWEEP_EVERY_MS) {
      nowMs = sweepAtMs;
      sweep();
    }
    nowMs = event.atMs;
    event.run();
  }
  nowMs += SILENCE_MS;
  sweep();
  const stillWaiting = pool.line.size + pool.waiting().length;
  const takeable = hosts.map(({ id: host, capacity }) => {
    let count = 0;
    const pairs = [{ host, servedAs: "m", capacity }];
    const plain = { share: 1, priority: 0, weight: 1, waitedMs: 0, maxWaitMs: 0, mayCutWait: false, maxWaiting: 1 };
    const takes = (nth: number) =>
      pool.take({ id: `judge-${host}-${nth}`, account: "j", isolate: "j", model: "m", pairs, ...plain }, nowMs);
    while (count <= capacity && takes(count).kind === "granted") count++;
    return count;
  });
  return { overruns, ends, open, takeable, stillWaiting, doubles };
}
