/** The shadow copies of one question, with tickets from the pool: one that is free that moment, or none. */
import { takeTicket } from "#src/fleet/ticket.ts";
import { counterOf } from "#src/fleet/watch.ts";
import { weigh } from "#src/fleet/weigh.ts";
import type { Asking } from "./ask-hosts.ts";
import { keptAlive } from "./kept-alive.ts";
import { mirror } from "./shadow.ts";

/** Copies are nobody's: they have no account to be charged, and stand behind everyone. */
const NOBODY = { account: "(shadow)", share: 1, priority: 0, weight: 1, waitedMs: 0 };
const NEVER_WAITS = { isCopy: true, maxWaitMs: 0, mayCutWait: false, maxWaiting: 1 };

/** To be called when the question itself has its host. */
export function mirrorOnce({ call, question, model, onlyOnPrem }: Asking): void {
  const { isolate, env, defer } = call;
  mirror(call, question, model, onlyOnPrem, {
    running: isolate.shadows,
    random: Math.random,
    take: async (candidate) => {
      const { view } = isolate.fleet.snapshot;
      const order = weigh([candidate], "weighted", view, { nowMs: Date.now(), region: [] });
      if (order[0]?.standing !== "able") return null;
      const id = `shadow:${crypto.randomUUID()}`;
      const left = new AbortController().signal;
      const wish = { ...NOBODY, ...NEVER_WAITS, id, model: model.id, order, left };
      const turn = await takeTicket(counterOf(isolate.fleet, env, defer), wish);
      if (turn.kind !== "ticket") return null;
      const ticket = keptAlive(turn.ticket, call);
      return { finish: (outcome) => ticket.finish(outcome, null) };
    },
  });
}
