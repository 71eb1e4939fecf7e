/**
 * Measures the rungs: round by round, every rung one after the other, in the other direction each second round, and bare
 * workerd before and after them. What a rung leaves to be done behind its answers is counted to it: the next one begins when all is quiet.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { sum } from "#scripts/chaos/statistics.ts";
import type { Target } from "../load/job.ts";
import { cpuUsOf, waitedUsOf } from "../load/process-cost.ts";
import type { OpenRing } from "../ring.ts";
import type { Round } from "./figures.ts";
import type { Ground } from "./ground.ts";
import type { Ladder } from "./ladders.ts";
import { BARE, pathOf, WHOLE } from "./rungs.ts";

export type Pace = {
  readonly rounds: number;
  /** Each rung's load in each round. */
  readonly forMs: number;
  /** Of load on the whole path and on bare workerd, before anything is measured: code that is new is slow. */
  readonly warmUpMs: number;
};

export type Climbing = {
  /** Called before each measurement. */
  readonly say: (what: string) => void;
  readonly signal: AbortSignal;
};

/** @throws what the signal was aborted with; Error when a rung does not answer */
export async function climb(
  ladder: Ladder,
  ground: Omit<Ground, "stop">,
  { rounds, forMs, warmUpMs }: Pace,
  { say, signal }: Climbing,
): Promise<Round[]> {
  const abandoned = abandonment(signal);
  const cost = (name: string, forMs: number): Promise<number> =>
    Promise.race([costOf(ladder, targetOf(ground, name), ground.load, forMs), abandoned]);
  const names = ladder.rungs.map(({ name }) => name);
  const measured: Round[] = [];
  for (const name of [BARE, WHOLE]) {
    signal.throwIfAborted();
    say(`${ladder.name}: warming up`);
    await cost(name, warmUpMs);
  }
  for (let nth = 0; nth < rounds; nth++) {
    const costs = new Map<string, number>();
    const bare: number[] = [];
    const [ranUs, waitedUs] = [cpuUsOf(ground.bare.groups), waitedUsOf(ground.bare.groups)];
    for (const name of [BARE, ...(nth % 2 === 0 ? names : names.toReversed()), BARE]) {
      signal.throwIfAborted();
      say(`${ladder.name}: round ${nth + 1} of ${rounds}, ${name}`);
      const costUs = await cost(name, forMs);
      if (name === BARE) bare.push(costUs);
      else costs.set(name, costUs);
    }
    // All are told by it: what happens to one window of it would happen to the whole round.
    costs.set(BARE, sum(bare) / bare.length);
    const bareWaited = (waitedUsOf(ground.bare.groups) - waitedUs) / (cpuUsOf(ground.bare.groups) - ranUs);
    measured.push({ costs, bareWaited });
  }
  return measured;
}

function abandonment(signal: AbortSignal): Promise<never> {
  const abandoned = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  // It may come when nobody waits for it.
  abandoned.catch(() => {});
  return abandoned;
}

function targetOf({ bare, gateway }: Pick<Ground, "bare" | "gateway">, name: string): Target {
  return name === BARE ? bare : { ...gateway, url: new URL(pathOf(name), gateway.url).href };
}

/** In µs by request, or by event. */
async function costOf({ load, count }: Ladder, target: Target, put: OpenRing["load"], forMs: number): Promise<number> {
  // To the end, and without a warm-up: of a request that is asked by then or under way afterwards a part would be counted.
  const seen = await put({ ...load, target, warmUpMs: 0, forMs, isToEnd: true });
  const units = count(seen);
  if (seen.failed > 0 || units === 0) {
    const { pathname } = new URL(target.url);
    throw new Error(`${pathname} answered ${seen.requests} times and failed ${seen.failed} times: ${seen.failure}`);
  }
  return (seen.cpuUs + (await untilQuiet(target))) / units;
}

const LOOK_MS = 100;
/** Of one core. A gateway at rest takes 0.2 %. */
const QUIET_SHARE = 0.03;
/** Of 400 settled requests the last is in the ledger half a second after its answer. */
const QUIET_WITHIN_MS = 3_000;

/** Waits until next to nothing is done any more. @returns what was done until then, in µs of one core */
async function untilQuiet({ groups }: Target): Promise<number> {
  const sinceUs = cpuUsOf(groups);
  let atUs = sinceUs;
  for (let waitedMs = 0; waitedMs < QUIET_WITHIN_MS; waitedMs += LOOK_MS) {
    await sleep(LOOK_MS);
    const beforeUs = atUs;
    atUs = cpuUsOf(groups);
    if (atUs - beforeUs < QUIET_SHARE * LOOK_MS * 1_000) break;
  }
  return atUs - sinceUs;
}
