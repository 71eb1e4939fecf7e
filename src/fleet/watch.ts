/** The isolate's dealings with the pool for one request: the one way that conductors come to a snapshot or a ticket. */
import type { Env } from "#src/env.ts";
import type { FleetSnapshot } from "./fleet-words.ts";
import { type AskFleet, currentSnapshot, refresh, type SnapshotMemory } from "./snapshot.ts";
import type { Counter } from "./ticket.ts";

export const POOL = "default";

type FleetEnv = Pick<Env, "FLEET">;

/** The snapshot in force. Never rejects; see `snapshot.ts` for how old it may be. */
export function fleetNow(
  memory: SnapshotMemory,
  env: FleetEnv,
  defer: (work: Promise<void>) => void,
): Promise<FleetSnapshot> {
  return currentSnapshot(memory, asking(env), Date.now(), defer);
}

/** Where this request's tickets come from. */
export function counterOf(memory: SnapshotMemory, env: FleetEnv, defer: (work: Promise<void>) => void): Counter {
  return {
    book: memory.book,
    lost: memory.lost,
    // A stub belongs to the request that made it, and is broken after a failure.
    connect: () => env.FLEET.getByName(POOL),
    report: () => refresh(memory, asking(env), Date.now()),
    isAwaited: (host) => memory.snapshot.awaited.includes(host),
    defer,
    now: Date.now,
  };
}

function asking(env: FleetEnv): AskFleet {
  return (report) => env.FLEET.getByName(POOL).report(report);
}
