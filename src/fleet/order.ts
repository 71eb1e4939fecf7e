/**
 * Who is asked first, and who after that, for one request: a draw by the shares of `weigh.ts`, or the host that has the
 * request's beginning warm. Pure but for the chance it is given, and looks at loads without changing them.
 */
import type { Affinity } from "./affinity.ts";
import type { Weighed } from "./weigh.ts";

/**
 * Orders the hosts of one request.
 *
 * @param random uniform in [0, 1)
 * @param affinity null for a request that is warm nowhere
 * @returns everyone that is not out, first choice first: those that have a share, the other able primaries, able
 * backups, then the full ones, primaries before backups
 */
export function orderOf(
  weighed: readonly Weighed[],
  { random, affinity }: { readonly random: () => number; readonly affinity: Affinity | null },
): Weighed[] {
  const able = weighed.filter(({ standing }) => standing === "able");
  const full = weighed.filter(({ standing }) => standing === "full");
  const sharing = able.filter(({ share }) => share > 0);
  const aside = able.filter(({ share }) => share <= 0);
  const drawn = draw(sharing, ({ share }) => share, random);
  return [
    ...(affinity === null ? drawn : warmFirst(drawn, affinity)),
    ...[aside, full].flatMap((rows) => [
      ...byRank(
        rows.filter(({ host }) => !host.backup),
        random,
      ),
      ...byRank(
        rows.filter(({ host }) => host.backup),
        random,
      ),
    ]),
  ];
}

/** A draw that hit a resting host stands: that small part of all requests is how it is found well again. */
function warmFirst(drawn: readonly Weighed[], { key, nowMs, loads }: Affinity): readonly Weighed[] {
  const [first] = drawn;
  if (first === undefined || first.steadyWeight <= 0) return drawn;
  const warm = loads.warmest(key, drawn, nowMs);
  return warm === null ? drawn : [warm, ...drawn.filter((one) => one !== warm)];
}

function byRank(rows: readonly Weighed[], random: () => number): Weighed[] {
  const ranks = [...new Set(rows.map(({ rank }) => rank))].sort((one, other) => (one < other ? -1 : 1));
  return ranks.flatMap((rank) =>
    draw(
      rows.filter((row) => row.rank === rank),
      ({ weight }) => weight,
      random,
    ),
  );
}

/** A weighted shuffle: each place is drawn from those left, in proportion to what they have. */
function draw(rows: readonly Weighed[], of: (row: Weighed) => number, random: () => number): Weighed[] {
  const left = [...rows];
  const order: Weighed[] = [];
  while (left.length > 0) {
    const largest = Math.max(...left.map(of));
    const parts = left.map((row) => (largest > 0 ? of(row) / largest : 1));
    let ticket = random() * parts.reduce((sum, part) => sum + part, 0);
    const at = parts.findIndex((part) => {
      ticket -= part;
      return ticket < 0;
    });
    // Rounding can leave a ticket of exactly 0 after the last: that is the last one's.
    order.push(...left.splice(at === -1 ? left.length - 1 : at, 1));
  }
  return order;
}
