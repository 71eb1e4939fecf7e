/**
 * When who asks. Open loop: nobody waits for an answer before the next question, as a crowd does not, so that a slow
 * gateway is not spared the load that it is slow under.
 */
import { setTimeout as sleep } from "node:timers/promises";

export type Arrival = {
  /** From the start. */
  readonly atMs: number;
  readonly caller: number;
};

/**
 * Arrivals at random (Poisson), each caller's independent of the others'. Pure.
 *
 * @param perSecond the callers' rates
 */
export function poisson(perSecond: readonly number[], forMs: number, chance: () => number): Arrival[] {
  const arrivals: Arrival[] = [];
  for (const [caller, rate] of perSecond.entries()) {
    for (let atMs = gapMs(rate, chance); atMs < forMs; atMs += gapMs(rate, chance)) arrivals.push({ atMs, caller });
  }
  return arrivals.sort((a, b) => a.atMs - b.atMs);
}

/** So many arrivals at an even pace, of each caller in turn. Pure. */
export function even(count: number, perSecond: number, callers: number): Arrival[] {
  return Array.from({ length: count }, (_, at) => ({ atMs: (at * 1_000) / perSecond, caller: at % callers }));
}

function gapMs(perSecond: number, chance: () => number): number {
  return (-Math.log(1 - chance()) / perSecond) * 1_000;
}

/**
 * Sends each at its time. Resolves when all are over; before the time when `enough` says so.
 *
 * @param send must not reject
 * @throws when it is given up
 */
export async function arrive<T extends { readonly atMs: number }>(
  arrivals: readonly T[],
  send: (arrival: T) => Promise<unknown>,
  signal: AbortSignal,
  enough: () => boolean = () => false,
): Promise<void> {
  const startedAtMs = Date.now();
  const under: Promise<unknown>[] = [];
  for (const arrival of arrivals) {
    const waitMs = startedAtMs + arrival.atMs - Date.now();
    if (waitMs > 0) await sleep(waitMs, undefined, { signal });
    if (enough()) break;
    under.push(send(arrival));
  }
  await Promise.all(under);
}
