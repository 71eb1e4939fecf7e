import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Taken } from "#src/fleet/fleet-words.ts";
import type { Outcome } from "#src/fleet/outcome.ts";
import type { TakeRequest } from "#src/fleet/take.ts";
import {
  type Counter,
  type FleetStub,
  leftOver,
  type Ticket,
  type Turn,
  takeTicket,
  type Wish,
} from "#src/fleet/ticket.ts";
import { TicketBook } from "#src/fleet/ticket-book.ts";
import { type Box, NOW_MS, nameOn, weighed } from "./boxes.ts";

const OK: Outcome = { kind: "ok", ttftMs: 100, tokensPerS: 40 };
const BOXES: readonly Box[] = [
  { id: "a", host: { slots: 2 } },
  { id: "b", host: { slots: 2 } },
];

type Take = (poll: {
  readonly nth: number;
  readonly pollMs: number;
  readonly pass: (ms: number) => void;
}) => Promise<Taken>;

const granted = (host: string, waited = false): Taken => ({ kind: "granted", host, waited });
const hangs = (): Promise<never> => new Promise(() => undefined);
/** As the Fleet object does when a turn does not come. */
const waits: Take = async ({ pollMs, pass }) => {
  pass(pollMs);
  return { kind: "waiting" };
};

/** An isolate's counter in front of a Fleet object that answers as a test says. */
function counter(take: Take) {
  let nowMs = NOW_MS;
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  const said: string[] = [];
  const deferred: Promise<void>[] = [];
  const broken = { leave: false, release: false };
  let polls = 0;
  const stub: FleetStub = {
    take: (_, pollMs) => {
      said.push(`take ${pollMs}`);
      return take({ nth: polls++, pollMs, pass });
    },
    leave: async () => {
      said.push("leave");
      if (broken.leave) throw new Error("Network connection lost.");
    },
    release: async (_, outcome, weight) => {
      said.push(`release ${outcome.kind} ${weight}`);
      if (broken.release) throw new Error("Network connection lost.");
    },
  };
  const book = new TicketBook("i");
  book.report(NOW_MS);
  const awaited = new Set<string>();
  const it: Counter = {
    book,
    lost: { untilMs: 0 },
    connect: () => stub,
    report: async () => {
      said.push("report");
    },
    isAwaited: (host) => awaited.has(host),
    defer: (work) => deferred.push(work),
    now: () => nowMs,
  };
  const settled = async (): Promise<readonly string[]> => {
    await Promise.all(deferred);
    return said;
  };
  return { it, book, said, settled, pass, broken, awaited };
}

function wish(of: Partial<Wish> = {}): Wish {
  const plain = { account: "x", model: "m", share: 1, priority: 0, weight: 100, waitedMs: 0, maxWaitMs: 10_000 };
  const order = weighed(BOXES);
  return { id: "t", ...plain, mayCutWait: true, maxWaiting: 9, order, left: new AbortController().signal, ...of };
}

/** Gives the isolate slots in advance. */
function spare(book: TicketBook, slots: Readonly<Record<string, number>>): void {
  book.reported(book.report(NOW_MS), slots, NOW_MS);
}

function ticketOf(turn: Turn): Ticket {
  if (turn.kind !== "ticket") throw new Error(`no ticket: ${JSON.stringify(turn)}`);
  return turn.ticket;
}

const seen = ({ choice, placedBy, waitedMs }: Ticket) => ({ host: choice.host.id, placedBy, waitedMs });

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("a slot that was given in advance", () => {
  test("is used without asking", async () => {
    const { it, book, said } = counter(hangs);
    spare(book, { a: 1 });
    expect(seen(ticketOf(await takeTicket(it, wish())))).toEqual({ host: "a", placedBy: "fleet", waitedMs: null });
    expect(said).toEqual([]);
    expect(book.inFlight("a")).toBe(1);
    expect(book.report(NOW_MS).decisions).toMatchObject([{ id: "t", model: "m", host: "a" }]);
  });

  test.each<{ name: string; slots: Record<string, number>; boxes: readonly Box[] }>([
    { name: "for another host than the first choice", slots: { b: 1 }, boxes: BOXES },
    {
      name: "for a host that is full by what is known",
      slots: { a: 1 },
      boxes: [{ id: "a", host: { slots: 2 }, seen: { inFlight: 2 } }],
    },
  ])("is not used $name", async ({ slots, boxes }) => {
    const { it, book, said } = counter(async () => granted("a"));
    spare(book, slots);
    await takeTicket(it, wish({ order: weighed(boxes) }));
    expect(said).toEqual(["take 250"]);
  });

  test.each<{ outcome: Outcome; isAwaited: boolean; says: readonly string[] }>([
    { outcome: OK, isAwaited: false, says: [] },
    { outcome: { kind: "neither" }, isAwaited: false, says: [] },
    { outcome: OK, isAwaited: true, says: ["report"] },
    { outcome: { kind: "failed" }, isAwaited: false, says: ["report"] },
    { outcome: { kind: "busy", forMs: 9 }, isAwaited: false, says: ["report"] },
  ])(
    "comes back once, with news only: $outcome.kind, awaited $isAwaited: $says",
    async ({ outcome, isAwaited, says }) => {
      const { it, book, settled, awaited } = counter(hangs);
      spare(book, { a: 1 });
      if (isAwaited) awaited.add("a");
      const ticket = ticketOf(await takeTicket(it, wish()));
      ticket.finish(outcome, null);
      ticket.finish(outcome, null);
      expect(await settled()).toEqual(says);
      expect(book.inFlight("a")).toBe(0);
      const [counted] = Object.values(book.report(NOW_MS).outcomes);
      expect((counted?.ok ?? 0) + (counted?.failed ?? 0) + (counted?.neither ?? 0)).toBe(1);
    },
  );
});

describe("a ticket by the Fleet object", () => {
  test("at once", async () => {
    const { it, book, said } = counter(async () => granted("b"));
    const ticket = ticketOf(await takeTicket(it, wish()));
    expect(seen(ticket)).toEqual({ host: "b", placedBy: "fleet", waitedMs: null });
    expect(said).toEqual(["take 250"]);
    expect(book.report(NOW_MS).tickets).toEqual({ t: { host: "b", servedAs: nameOn("b") } });
  });

  test("in its turn, after it was asked again", async () => {
    const { it, said } = counter(async (poll) => (poll.nth < 2 ? waits(poll) : granted("a", true)));
    expect(seen(ticketOf(await takeTicket(it, wish())))).toEqual({ host: "a", placedBy: "fleet", waitedMs: 2_250 });
    expect(said).toEqual(["take 250", "take 2000", "take 2000"]);
  });

  test("that was granted between two questions has waited all the same", async () => {
    const { it } = counter(async (poll) => (poll.nth < 1 ? waits(poll) : granted("a")));
    expect(seen(ticketOf(await takeTicket(it, wish())))).toMatchObject({ waitedMs: 250 });
  });

  test("that came within the first question has waited", async () => {
    const { it } = counter(async ({ pass }) => {
      pass(100);
      return granted("a", true);
    });
    expect(seen(ticketOf(await takeTicket(it, wish())))).toMatchObject({ waitedMs: 100 });
  });

  test("goes back once, with what it weighed", async () => {
    const { it, book, settled } = counter(async () => granted("a"));
    const ticket = ticketOf(await takeTicket(it, wish()));
    ticket.finish(OK, 77);
    ticket.finish({ kind: "failed" }, 1);
    expect(await settled()).toEqual(["take 250", "release ok 77"]);
    expect(book.inFlight("a")).toBe(0);
    expect(book.report(NOW_MS).outcomes).toEqual({});
  });

  test("that cannot be given back: its end goes into the next report", async () => {
    const { it, book, settled, broken } = counter(async () => granted("a"));
    broken.release = true;
    ticketOf(await takeTicket(it, wish())).finish({ kind: "failed" }, null);
    await settled();
    const report = book.report(NOW_MS);
    expect(report.tickets).toEqual({});
    expect(Object.values(report.outcomes)).toMatchObject([{ host: "a", failed: 1 }]);
  });

  test("of a host that failed: this isolate avoids it at once", async () => {
    const { it, book } = counter(async () => granted("a"));
    ticketOf(await takeTicket(it, wish())).finish({ kind: "failed" }, null);
    expect(book.view({ hosts: {}, pairs: {} }, NOW_MS).hosts.a?.busyUntilMs).toBeGreaterThan(NOW_MS);
  });
});

describe("no ticket", () => {
  test.each(["full", "share", "out"] as const)("refused as the Fleet object says: %s", async (because) => {
    const { it, settled, book } = counter(async () => ({ kind: "refused", because, retryAfterMs: 7_000 }));
    expect(await takeTicket(it, wish())).toEqual({ kind: "refused", because, retryAfterMs: 7_000 });
    expect(await settled()).toEqual(["take 250"]);
    expect(book.inFlight("a")).toBe(0);
  });

  test.each([
    { maxWaitMs: 0, atMostMs: 0 },
    { maxWaitMs: 100, atMostMs: 100 },
    { maxWaitMs: 1_000, atMostMs: 1_000 },
    { maxWaitMs: 5_000, atMostMs: 5_000 },
  ])("after $maxWaitMs ms in line, and the place is given up", async ({ maxWaitMs, atMostMs }) => {
    const { it, settled } = counter(waits);
    expect(await takeTicket(it, wish({ maxWaitMs }))).toMatchObject({ kind: "refused", because: "full" });
    expect(it.now() - NOW_MS).toBeLessThanOrEqual(atMostMs);
    expect((await settled()).at(-1)).toBe("leave");
  });
});

describe("a slot that was given in advance while the question was under way", () => {
  test.each<{ name: string; answer: Take; left: string[] }>([
    { name: "waits", answer: waits, left: ["leave"] },
    {
      name: "is refused",
      answer: async () => ({ kind: "refused", because: "full", retryAfterMs: 1_000 }),
      left: ["leave"],
    },
  ])("is used by who $name", async ({ answer, left }) => {
    const { it, book, settled } = counter(async (poll) => {
      spare(book, { b: 1 });
      return answer(poll);
    });
    expect(seen(ticketOf(await takeTicket(it, wish())))).toMatchObject({ host: "b", placedBy: "fleet" });
    expect(await settled()).toEqual(["take 250", ...left]);
    expect(book.inFlight("b")).toBe(1);
  });
});

describe("work that nobody waits for", () => {
  const background = (of: Partial<Wish> = {}): Wish => wish({ isBackground: true, maxWaitMs: 0, maxWaiting: 1, ...of });

  test.each([
    { slots: 1, leaves: 0 },
    { slots: 2, leaves: 1 },
    { slots: 3, leaves: 1 },
    { slots: 4, leaves: 1 },
    { slots: 5, leaves: 2 },
    { slots: 64, leaves: 16 },
  ])("of $slots slots leaves $leaves", ({ slots, leaves }) => {
    expect(slots - leftOver(slots)).toBe(leaves);
  });

  test("asks the Fleet object as a copy does, for hosts that are smaller by what it leaves", async () => {
    const requests: TakeRequest[] = [];
    const { it } = counter(async () => granted("b"));
    const connect = (): FleetStub => {
      const stub = it.connect();
      return {
        ...stub,
        take: (request, pollMs) => {
          requests.push(request);
          return stub.take(request, pollMs);
        },
      };
    };
    expect(seen(ticketOf(await takeTicket({ ...it, connect }, background())))).toMatchObject({
      host: "b",
      waitedMs: null,
    });
    expect(requests).toMatchObject([
      {
        isCopy: true,
        pairs: [
          { host: "a", capacity: 1 },
          { host: "b", capacity: 1 },
        ],
      },
    ]);
  });

  test("does not use what the isolate was given in advance, neither at first nor when it is refused", async () => {
    const { it, book, settled } = counter(async () => ({ kind: "refused", because: "full", retryAfterMs: 1_000 }));
    spare(book, { a: 1, b: 1 });
    expect(await takeTicket(it, background())).toMatchObject({ kind: "refused", because: "full" });
    expect([book.inFlight("a"), book.inFlight("b")]).toEqual([0, 0]);
    expect(await settled()).toEqual(["take 0"]);
  });

  test("is refused while the Fleet object cannot be reached", async () => {
    const { it, book } = counter(async () => {
      throw new Error("Network connection lost.");
    });
    for (const id of ["t1", "t2"])
      expect(await takeTicket(it, background({ id }))).toMatchObject({ kind: "refused", because: "full" });
    expect(book.inFlight("a")).toBe(0);
  });
});

describe("a caller who leaves", () => {
  test("before anything was asked: nothing is", async () => {
    const { it, said } = counter(async () => granted("a"));
    expect(await takeTicket(it, wish({ left: AbortSignal.abort() }))).toEqual({ kind: "left" });
    expect(said).toEqual([]);
  });

  // Said twice: at once, and when the question under way has been answered, which may have been heard after the first.
  test("while it waits: gets out of the line at once, and asks no more", async () => {
    const leaving = new AbortController();
    const { it, settled } = counter(async (poll) => {
      if (poll.nth === 1) leaving.abort();
      return waits(poll);
    });
    expect(await takeTicket(it, wish({ left: leaving.signal }))).toEqual({ kind: "left" });
    expect(await settled()).toEqual(["take 250", "take 2000", "leave", "leave"]);
  });

  test("while its ticket is on its way: gives it back, and holds none", async () => {
    const leaving = new AbortController();
    const { it, settled, book } = counter(async () => {
      leaving.abort();
      return granted("a");
    });
    expect(await takeTicket(it, wish({ left: leaving.signal }))).toEqual({ kind: "left" });
    expect(await settled()).toEqual(["take 250", "leave", "leave"]);
    expect(book.inFlight("a")).toBe(0);
  });

  test("with a ticket: it goes back by its end, with what was made by then, and not before", async () => {
    const leaving = new AbortController();
    const { it, settled } = counter(async () => granted("a"));
    const ticket = ticketOf(await takeTicket(it, wish({ left: leaving.signal })));
    leaving.abort();
    ticket.finish({ kind: "neither" }, 450);
    expect(await settled()).toEqual(["take 250", "release neither 450"]);
  });

  test("after it was refused: there is nothing to give up", async () => {
    const leaving = new AbortController();
    const { it, settled } = counter(async () => ({ kind: "refused", because: "share", retryAfterMs: 1_000 }));
    await takeTicket(it, wish({ left: leaving.signal }));
    leaving.abort();
    expect(await settled()).toEqual(["take 250"]);
  });

  test("and cannot say so: nothing is thrown", async () => {
    const leaving = new AbortController();
    const { it, settled, broken } = counter(async (poll) => {
      leaving.abort();
      return waits(poll);
    });
    broken.leave = true;
    expect(await takeTicket(it, wish({ left: leaving.signal }))).toEqual({ kind: "left" });
    expect(await settled()).toEqual(["take 250", "leave", "leave"]);
  });
});

describe("a Fleet object that does not know this isolate", () => {
  test("is told what it holds, and asked again", async () => {
    const { it, said } = counter(async ({ nth }) => (nth === 0 ? { kind: "unknown" } : granted("a")));
    expect(seen(ticketOf(await takeTicket(it, wish())))).toMatchObject({ host: "a", placedBy: "fleet" });
    expect(said).toMatchObject(["take 250", "report", expect.stringContaining("take")]);
  });

  test("and never does: the isolate's own count decides", async () => {
    const { it, settled } = counter(async ({ pass }) => {
      pass(900);
      return { kind: "unknown" };
    });
    expect(seen(ticketOf(await takeTicket(it, wish())))).toMatchObject({ host: "a", placedBy: "local" });
    expect((await settled()).at(-1)).toBe("leave");
  });
});

describe("a Fleet object that cannot be reached", () => {
  const throws: Take = async () => {
    throw new Error("Durable Object reset because its code was updated.");
  };

  test.each<{ name: string; take: Take }>([
    { name: "it throws", take: throws },
    { name: "it hangs", take: hangs },
    { name: "it grants what nobody asked for", take: async () => granted("z") },
  ])("$name: the isolate's own count decides, and what it may have granted is given back", async ({ take }) => {
    const { it, book, settled } = counter(take);
    expect(seen(ticketOf(await takeTicket(it, wish())))).toEqual({ host: "a", placedBy: "local", waitedMs: null });
    expect(await settled()).toEqual(["take 250", "leave"]);
    expect(book.report(NOW_MS)).toMatchObject({ used: { a: 1 }, tickets: {} });
  });

  test("is left alone for two seconds", async () => {
    const { it, settled, pass } = counter(throws);
    for (const id of ["t1", "t2"]) await takeTicket(it, wish({ id }));
    expect((await settled()).filter((what) => what.startsWith("take"))).toHaveLength(1);
    pass(1_999);
    await takeTicket(it, wish({ id: "t3" }));
    expect((await settled()).filter((what) => what.startsWith("take"))).toHaveLength(1);
    pass(1);
    await takeTicket(it, wish({ id: "t4" }));
    expect((await settled()).filter((what) => what.startsWith("take"))).toHaveLength(2);
  });

  test("never more than each host's slots by this isolate's count, first choice first; then it is busy", async () => {
    const { it, pass } = counter(throws);
    const turns: Turn[] = [];
    for (const id of ["t1", "t2", "t3", "t4", "t5"]) turns.push(await takeTicket(it, wish({ id })));
    const hosts = turns.map((turn) => (turn.kind === "ticket" ? turn.ticket.choice.host.id : turn.kind));
    expect(hosts).toEqual(["a", "a", "b", "b", "refused"]);
    const [first] = turns;
    if (first?.kind === "ticket") first.ticket.finish(OK, null);
    pass(1);
    expect(seen(ticketOf(await takeTicket(it, wish({ id: "t6" }))))).toMatchObject({ host: "a", placedBy: "local" });
  });
});
