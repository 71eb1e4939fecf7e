/** A ticket that is held for long: its isolate goes on to report that it is, for as long as the request lives. */
import type { Ticket } from "#src/fleet/ticket.ts";
import { fleetNow } from "#src/fleet/watch.ts";
import type { Call } from "./call.ts";

/** So often a request with a slot says that it lives (`fleet/holdings.ts`). */
const REPORT_EVERY_MS = 2_000;

export function keptAlive(ticket: Ticket, { isolate, env, defer }: Pick<Call, "isolate" | "env" | "defer">): Ticket {
  const beat = setInterval(() => {
    isolate.fleet.book.lives(ticket.id, Date.now());
    void fleetNow(isolate.fleet, env, defer);
  }, REPORT_EVERY_MS);
  const finish: Ticket["finish"] = (outcome, weight) => {
    clearInterval(beat);
    ticket.finish(outcome, weight);
  };
  return { ...ticket, finish };
}
