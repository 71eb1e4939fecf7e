/** `GET /admin/fleet`: what the Fleet object knows of every host, asked afresh. */
import { POOL } from "#src/fleet/watch.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { Problem } from "#src/problem.ts";

/** @throws Problem `unavailable` when the Fleet object cannot be reached */
export async function fleetPage(call: KnownCall): Promise<Response> {
  const { states, nextProbeAtMs } = await call.env.FLEET.getByName(POOL)
    .snapshot()
    .catch((cause: unknown) => {
      throw new Problem("unavailable", { retryAfterS: 2, cause });
    });
  const hosts = call.catalog.hosts.map(({ id, engine, slots, weight, backup }) => {
    return { id, engine, slots, weight, backup, state: states[id] ?? "unknown" };
  });
  return Response.json({ hosts, next_probe_at: new Date(nextProbeAtMs).toISOString() });
}
