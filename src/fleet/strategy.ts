/**
 * What each strategy of the catalog makes of a model's hosts: who comes before whom, and who gets how much among equals.
 * Pure. A draw by weight and never the one best host: isolates go by views that are up to 2 s old, and would all run to
 * the same one.
 */
import { type Host, locationOf, type Model } from "#src/catalog/schema.ts";
import type { Candidate, Standing } from "./standing.ts";
import { capacityOf, type FleetView, pairKey, UNTRIED } from "./view.ts";

export type Placed = {
  /** Lower ones first; work goes to the lowest that can take it. */
  readonly rank: number;
  /** Its part among those of its rank, in no particular unit. */
  readonly weight: number;
  /** What its weight would be if it had nothing to do: it changes slowly, so that prefixes stay where they are. */
  readonly steadyWeight: number;
};

/** An answer of this length stands for all when hosts are compared: 100 to 200 tokens are usual in chat. */
const NOMINAL_ANSWER_TOKENS = 128;
/** What is slower is no pace but a clock's mistake, and counts as not measured. */
const LEAST_TOKENS_PER_S = 0.01;

type Seen = Candidate & Standing;
type Surroundings = { readonly view: FleetView; readonly region: readonly string[] };

const STRATEGIES: Record<Model["strategy"], (seen: readonly Seen[], surroundings: Surroundings) => Placed[]> = {
  /** Nothing but the operator's weights, until a host fills up: what is measured is then what was written. */
  weighted: (seen) => seen.map((one) => byWeight(one, 0)),
  "least-busy": (seen) => seen.map(({ host, room }) => ({ rank: 0, weight: room, steadyWeight: capacityOf(host) })),
  fastest: (seen, { view }) => {
    const speeds = speedsOf(seen, view);
    return seen.map(({ pressure }, at) => {
      const speed = speeds[at] ?? 1;
      // Averages come after the fact: a host that fills up is slower than they say.
      return { rank: 0, weight: speed * pressure, steadyWeight: speed };
    });
  },
  cheapest: (seen) => seen.map((one) => byWeight(one, dollarsPerSlotHour(one.host))),
  nearest: (seen, { region }) => seen.map((one) => byWeight(one, distanceOf(one.host, region))),
};

/**
 * Places the hosts of one model.
 *
 * @param region where the caller is, from near to far
 * @returns one for each, in the same order
 */
export function placedBy(strategy: Model["strategy"], seen: readonly Seen[], surroundings: Surroundings): Placed[] {
  return STRATEGIES[strategy](seen, surroundings);
}

function byWeight({ host, pressure }: Seen, rank: number): Placed {
  return { rank, weight: host.weight * pressure, steadyWeight: host.weight };
}

/**
 * The square of each one's speed, 1 for the fastest: twice as fast means four times the work, so that speed counts, and
 * slow ones get enough to be measured. What was not measured counts as the best that was, so that it will be.
 */
function speedsOf(seen: readonly Seen[], { pairs }: FleetView): number[] {
  const measured = seen.map(({ host, served }) => pairs[pairKey(host.id, served.as)] ?? UNTRIED);
  const firstMs = measured.flatMap(({ ttftMs }) => (ttftMs === null ? [] : [Math.max(1, ttftMs)]));
  const paces = measured.flatMap(({ tokensPerS }) => (isPace(tokensPerS) ? [tokensPerS] : []));
  const bestFirstMs = firstMs.length === 0 ? 1 : Math.min(...firstMs);
  // Embeddings have no pace, on any host: only the first byte counts then.
  const bestPace = paces.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...paces);
  const expectedMs = measured.map(({ ttftMs, tokensPerS }) => {
    const pace = isPace(tokensPerS) ? tokensPerS : bestPace;
    return Math.max(1, ttftMs ?? bestFirstMs) + (NOMINAL_ANSWER_TOKENS / pace) * 1000;
  });
  const leastMs = Math.min(...expectedMs);
  return expectedMs.map((ms) => (leastMs / ms) ** 2);
}

function isPace(tokensPerS: number | null): tokensPerS is number {
  return tokensPerS !== null && tokensPerS >= LEAST_TOKENS_PER_S;
}

/** Where nobody knows the cost it is taken for high, and a cloud's for the highest: the bill comes later. */
function dollarsPerSlotHour(host: Host): number {
  const { cost, slots } = host;
  if (cost !== undefined) return (cost.perHour + (cost.watts / 1000) * cost.perKwh) / slots;
  return locationOf(host) === "cloud" ? Number.POSITIVE_INFINITY : Number.MAX_VALUE;
}

/** How many steps out the caller's and the host's regions meet; beyond all of them where they never do. */
function distanceOf({ region }: Host, from: readonly string[]): number {
  // The platform writes them in capitals; a catalog may not.
  const places = region.map((place) => place.toUpperCase());
  const meets = from.findIndex((place) => places.includes(place));
  return meets === -1 ? from.length : meets;
}
