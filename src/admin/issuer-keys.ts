/** `DELETE /admin/issuer-keys`: after an issuer has withdrawn a key, makes every isolate ask for its keys anew. */
import { POOL } from "#src/fleet/watch.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { recordAct } from "#src/ingress/record.ts";
import { Problem } from "#src/problem.ts";

const PURGE = { action: "issuer-keys.purge", target: "every issuer" };

/** @throws Problem `unavailable` when the Fleet object, which tells the isolates, cannot be reached */
export async function purgeKeys(call: KnownCall): Promise<Response> {
  const epoch = await call.env.FLEET.getByName(POOL)
    .purgeKeys()
    .catch((cause: unknown) => {
      const problem = new Problem("unavailable", { retryAfterS: 2, cause });
      recordAct(call, { ...PURGE, outcome: "failed", detail: { code: problem.code } });
      throw problem;
    });
  recordAct(call, { ...PURGE, outcome: "ok", detail: { epoch } });
  return Response.json({ purged: true, epoch, heard_everywhere_within_s: 5 });
}
