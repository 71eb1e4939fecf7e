/** Handing in what a request has cost, behind the response. The one place where a lease ends. */
import type { Lease } from "#src/limits/admission.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import type { Call } from "./call.ts";

/**
 * Settles behind the response. An account that stays unreachable is passed by: the event goes to the queue directly,
 * and the lease it leaves behind becomes a second event of the same id, which the ledger takes once.
 */
export function settleBehind(call: Call, lease: Lease, event: InferenceEvent): void {
  call.defer(settle(call, lease, event));
}

/**
 * Undoes an admission behind the response, as if the request had not been made: for work that is tried again by itself
 * until there is room. Where that fails it is settled as it stands.
 */
export function releaseBehind(call: Call, lease: Lease, unserved: InferenceEvent): void {
  call.defer(lease.release(unserved).catch(() => settle(call, lease, unserved)));
}

async function settle(call: Call, lease: Lease, event: InferenceEvent): Promise<void> {
  try {
    await lease.settle(event);
  } catch (unreachable) {
    console.error(JSON.stringify({ at: "settle", requestId: event.id, cause: String(unreachable) }));
    await call.env.USAGE.send({ event, outbox: null }).catch((cause: unknown) => {
      // The last resort: the log holds the event, but nothing of what was said.
      const silent = { ...event, content: null };
      console.error(JSON.stringify({ at: "settle.lost", event: silent, cause: String(cause) }));
    });
  }
}
