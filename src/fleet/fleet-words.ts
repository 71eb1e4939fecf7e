/** What the Fleet object says to those who ask it. */
import type { CatalogProblem } from "#src/catalog/schema.ts";
import type { Decision } from "./decision.ts";
import type { Answer } from "./take.ts";
import type { FleetView } from "./view.ts";

export type FleetSnapshot = {
  readonly view: FleetView;
  /** Slots that the asking isolate may fill by itself, by host. */
  readonly spare: Readonly<Record<string, number>>;
  /** Hosts that somebody waits for. */
  readonly awaited: readonly string[];
  /** When the hosts are asked next, ms since the epoch: before then nothing changes. */
  readonly nextProbeAtMs: number;
  /** Raised by an admin's purge: issuers' keys fetched before it are not trusted any more. */
  readonly keysEpoch: number;
};

/** What `take` says: also `unknown`, where the isolate must report first. */
export type Taken =
  | Exclude<Answer, { kind: "granted" }>
  | { readonly kind: "granted"; readonly host: string; readonly waited: boolean }
  | { readonly kind: "unknown" };

/** What the admin's page shows beside the view. */
export type FleetPage = {
  readonly view: FleetView;
  readonly hosts: Readonly<
    Record<string, { readonly reason: string | null; readonly slots: number | null; readonly spare: number }>
  >;
  readonly waiting: readonly { readonly model: string; readonly account: string; readonly sinceMs: number }[];
  readonly decisions: readonly Decision[];
  /** Why the document in KV is not in force; empty when it is. */
  readonly refused: readonly CatalogProblem[];
  readonly nextProbeAtMs: number;
};
