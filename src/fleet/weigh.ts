/**
 * Which host shall get how much of a model's traffic: from the catalog's weights, what is known of the hosts, and the
 * model's strategy to a share for each. Pure; the clock is an argument. Who goes first of a single request is drawn by
 * these shares in `order.ts`.
 */
import type { Model } from "#src/catalog/schema.ts";
import { type Candidate, type Standing, standingOf } from "./standing.ts";
import { type Placed, placedBy } from "./strategy.ts";
import type { FleetView } from "./view.ts";

export type { Candidate } from "./standing.ts";

export type Weighed = Candidate &
  Pick<Standing, "standing" | "why"> &
  Pick<Placed, "rank"> & {
    /** Of the traffic: 1 in all over the able primaries; over the able backups where no primary is able. */
    readonly share: number;
    /** Decides among those of one rank that have no share, and among the full ones. */
    readonly weight: number;
    /** Where prefixes are spread by; 0 for a host that takes no more than trial calls, or said it has too much to do. */
    readonly steadyWeight: number;
  };

/**
 * Weighs the hosts of a model.
 *
 * A host with a half-open breaker, or one that is busy by its own word, has a small part of the share that it would
 * have; where there is no other it has all.
 *
 * @param candidates whom the request may go to at all
 * @param surroundings the clock in ms since the epoch, and the caller's region from near to far
 * @returns one for each candidate, in the same order
 */
export function weigh(
  candidates: readonly Candidate[],
  strategy: Model["strategy"],
  view: FleetView,
  { nowMs, region }: { readonly nowMs: number; readonly region: readonly string[] },
): Weighed[] {
  const seen = standingsOf(candidates, view, nowMs);
  // A host that is out sets no standard for those that are not: its averages are of another time.
  const inside = seen.filter(({ standing }) => standing !== "out");
  const placed = placedBy(strategy, inside, { view, region });
  const placeOf = new Map(inside.map((one, at) => [one, placed[at]]));
  const rows = seen.map((one) => ({ ...one, ...(placeOf.get(one) ?? NOWHERE) }));
  const able = rows.filter(({ standing }) => standing === "able");
  const primaries = able.filter(({ host }) => !host.backup);
  const shares = sharesOf(primaries.length > 0 ? primaries : able);
  return rows.map((row) => {
    const { host, served, standing, rank, weight, ease, steadyWeight } = row;
    const share = shares.get(row) ?? 0;
    const aside = standing === "able" && share === 0;
    const why = aside ? `${row.why}, ${host.backup ? "backup" : `not the ${strategy}`}` : row.why;
    const warm = ease === 1 ? steadyWeight : 0;
    return { host, served, standing, share, why, rank, weight: weight * ease, steadyWeight: warm };
  });
}

/**
 * How each stands. A host that does not list the name is asked only where nobody else can be: what a host lists is its
 * own affair, and may be less than it takes.
 */
function standingsOf(candidates: readonly Candidate[], view: FleetView, nowMs: number): (Candidate & Standing)[] {
  const seen = candidates.map((candidate) => ({ ...candidate, ...standingOf(candidate, view, nowMs) }));
  if (seen.some(({ standing, lacksName }) => standing !== "out" && !lacksName)) {
    return seen.map((one) => (one.lacksName ? { ...one, standing: "out" } : one));
  }
  return seen;
}

type Row = Candidate & Standing & Placed;

const NOWHERE: Placed = { rank: 0, weight: 0, steadyWeight: 0 };

/** The shares of these rows; who is not listed has none. */
function sharesOf(rows: readonly Row[]): Map<Row, number> {
  const atEase = rows.filter(({ ease }) => ease === 1);
  if (atEase.length === 0) return inProportion(rows, ({ weight, ease }) => weight * ease, 1);
  const lowest = Math.min(...atEase.map(({ rank }) => rank));
  // Also those that would come before: they are tried, or nobody would ever know that they are well again.
  const wanted = rows.filter(({ rank }) => rank <= lowest);
  const resting = new Map(
    [...inProportion(wanted, ({ weight }) => weight, 1)]
      .filter(([{ ease }]) => ease < 1)
      .map(([row, share]) => [row, share * row.ease] as const),
  );
  const left = 1 - [...resting.values()].reduce((sum, share) => sum + share, 0);
  const working = wanted.filter(({ ease }) => ease === 1);
  return new Map([...resting, ...inProportion(working, ({ weight }) => weight, left)]);
}

/** Splits an amount. By the largest first: the operator's weights may be as large, or as small, as numbers get. */
function inProportion(rows: readonly Row[], of: (row: Row) => number, amount: number): Map<Row, number> {
  const largest = Math.max(...rows.map(of));
  const parts = rows.map((row) => (largest > 0 ? of(row) / largest : 1));
  const total = parts.reduce((sum, part) => sum + part, 0);
  return new Map(rows.map((row, at) => [row, ((parts[at] ?? 0) / total) * amount]));
}
