/** A host and one of the names that it serves: what a call goes to, and what a breaker watches. */
import { pairKey } from "./view.ts";

export type Pair = {
  readonly host: string;
  readonly servedAs: string;
  /** Requests that may be in flight on the host at once, whatever the name. */
  readonly capacity: number;
};

/** The same for the same pairs, in whatever order. */
export function rowKey(pairs: readonly Pair[]): string {
  return pairs
    .map(({ host, servedAs }) => pairKey(host, servedAs))
    .sort()
    .join("\n\n");
}

/** The same for pairs of the same hosts. */
export function hostsKey(pairs: readonly Pair[]): string {
  return pairs
    .map(({ host }) => host)
    .sort()
    .join("\n");
}
