/** `POST /admin/fleet/{host}`: drains a host for maintenance, or takes it back. What is in flight there finishes. */
import { z } from "zod";
import { counterOf, POOL } from "#src/fleet/watch.ts";
import { readJson } from "#src/ingress/body.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { membersOf } from "#src/ingress/fields.ts";
import { recordAct } from "#src/ingress/record.ts";
import { Problem } from "#src/problem.ts";

const MAX_BODY_BYTES = 1_024;

const body = z.strictObject({ action: z.enum(["drain", "undrain"]) });

/**
 * Answers once nothing new starts on the host, which takes 4 s at most.
 *
 * @throws Problem `host_not_found`, `invalid_value`, or `unavailable` when the Fleet object cannot be reached
 */
export async function drainHost(call: KnownCall, parameter: string): Promise<Response> {
  const host = call.catalog.hosts.find(({ id }) => id === parameter);
  if (host === undefined) throw new Problem("host_not_found");
  const { document } = await readJson(call.request, MAX_BODY_BYTES);
  const { action } = membersOf(body, document);
  const act = { action: `host.${action}`, target: host.id };
  const inFlight = await call.env.FLEET.getByName(POOL)
    .drain(host.id, action === "drain")
    .catch((cause: unknown) => {
      const problem = new Problem("unavailable", { retryAfterS: 2, cause });
      recordAct(call, { ...act, outcome: "failed", detail: { code: problem.code } });
      throw problem;
    });
  // The others hear of it within 2 s; whoever asked should find it done.
  await counterOf(call.isolate.fleet, call.env, call.defer).report();
  recordAct(call, { ...act, outcome: "ok", detail: { in_flight: inFlight } });
  return Response.json({ host: host.id, draining: action === "drain", in_flight: inFlight });
}
