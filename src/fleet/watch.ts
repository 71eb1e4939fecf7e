/** The isolate's view of the pool for one request: the one way that conductors come to a snapshot. */
import type { Env } from "#src/env.ts";
import type { FleetSnapshot } from "./fleet.do.ts";
import { currentSnapshot, type SnapshotMemory } from "./snapshot.ts";

export const POOL = "default";

/** The snapshot in force. Never rejects; see `snapshot.ts` for how old it may be. */
export function fleetNow(
  memory: SnapshotMemory,
  env: Pick<Env, "FLEET">,
  defer: (work: Promise<void>) => void,
): Promise<FleetSnapshot> {
  return currentSnapshot(memory, () => env.FLEET.getByName(POOL).snapshot(), Date.now(), defer);
}
