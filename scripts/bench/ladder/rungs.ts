/**
 * The rungs of the ladder: the gateway's request path, cut off after one stage more each time. What a rung leaves out is
 * bare passing on, so that two neighbours differ by one stage. The names are those of the routes (worker/). Pure.
 */

export type Rung = {
  readonly name: string;
  /** What it adds to the one below. */
  readonly adds: string;
  /** Beside the path: it stands on the one below, and nothing stands on it. */
  readonly isBeside?: true;
};

/** What both ladders stand on: bare workerd. */
export const BARE = "bare";
/** The one on top of both ladders is no cut: the gateway's own route, with everything on. */
export const WHOLE = "settle";

export const RUNGS = [
  { name: "hono", adds: "the router, and passing on natively" },
  { name: "conduct", adds: "id, catalog, headers, log line (metrics)" },
  { name: "auth", adds: "rate per address, a token that is remembered" },
  { name: "parse", adds: "body read, checked, within caps; written anew for the engine" },
  { name: "cache", adds: "beside the path: look-up of a question that may be kept", isBeside: true },
  { name: "admit", adds: "a lease, durable before the answer; undone afterwards" },
  { name: "take", adds: "a host chosen, its slot taken and given back" },
  { name: "ask", adds: "the host asked in its dialect, its answer read and tallied" },
  { name: WHOLE, adds: "the real route: settled, written, in the ledger" },
] as const satisfies readonly Rung[];

/** By event of a stream. */
export const STREAM_RUNGS = [
  { name: "hono", adds: "the router, and passing on natively" },
  { name: "parse", adds: "the request, as far as it is read, by event" },
  { name: "relay", adds: "every read goes through the relay, and none is looked at" },
  { name: "tap", adds: "events told apart, counts read and hidden" },
  { name: WHOLE, adds: "the real route: all of the request path, by event" },
] as const satisfies readonly Rung[];

/** Where a rung is asked. */
export function pathOf(name: string): string {
  return name === WHOLE ? "/v1/chat/completions" : `/rung/${name}/v1/chat/completions`;
}

/** The rung, or the ground, that one stands on. */
export function belowOf(rungs: readonly Rung[], name: string): string {
  const at = rungs.findIndex((rung) => rung.name === name);
  return rungs.slice(0, at).findLast(({ isBeside }) => isBeside !== true)?.name ?? BARE;
}
