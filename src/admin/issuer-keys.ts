/** `DELETE /admin/issuer-keys`: after an issuer has withdrawn a key, makes every isolate ask for its keys anew. */
import { POOL } from "#src/fleet/watch.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { Problem } from "#src/problem.ts";

/** @throws Problem `unavailable` when the Fleet object, which tells the isolates, cannot be reached */
export async function purgeKeys(call: KnownCall): Promise<Response> {
  const epoch = await call.env.FLEET.getByName(POOL)
    .purgeKeys()
    .catch((cause: unknown) => {
      throw new Problem("unavailable", { retryAfterS: 2, cause });
    });
  return Response.json({ purged: true, epoch, heard_everywhere_within_s: 5 });
}
