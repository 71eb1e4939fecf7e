/**
 * A call that is answered elsewhere than where it came in: a Durable Object that outlives the caller's connection gets
 * it as plain values and makes a call of its own of them. The door and the policy have been passed by then.
 */
import type { Principal } from "#src/auth/principal.ts";
import type { Env } from "#src/env.ts";
import { isolateOf } from "#src/isolate.ts";
import type { Call, KnownCall } from "./call.ts";
import { catalogFor } from "./conduct.ts";
import { type Place, placeOf } from "./region.ts";

export type CarriedCall = {
  readonly url: string;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array | null;
  /** The route's pattern, for the log. */
  readonly route: string;
  readonly principal: Principal;
  readonly requestId: string;
  readonly arrivedAtMs: number;
  readonly address: string | null;
  /** Where the caller is, for hosts that are to be near; left out where there is no caller to be near to. */
  readonly place?: Place;
};

const CREDENTIALS: readonly string[] = ["authorization", "x-api-key", "cookie"];

/**
 * What is carried of a call.
 *
 * @param body the request's, which can be read once
 */
export function carriedOf(call: KnownCall, body: Uint8Array | null): CarriedCall {
  const { request, principal, requestId, arrivedAtMs, address, log } = call;
  // The credential has done its work.
  const headers = [...request.headers].filter(([name]) => !CREDENTIALS.includes(name));
  const { url, method } = request;
  const place = placeOf(request);
  return { url, method, headers, body, route: log.route, principal, requestId, arrivedAtMs, address, place };
}

/**
 * The call again.
 *
 * @param defer keeps work alive where it is now
 * @param signal aborted when nobody waits for the answer any more
 * @throws Problem `misconfigured`
 */
export async function callOf(
  carried: CarriedCall,
  env: Env,
  defer: Call["defer"],
  signal: AbortSignal,
): Promise<KnownCall> {
  const { url, method, headers, body, route, principal, requestId, arrivedAtMs, address, place } = carried;
  const request = new Request(url, {
    method,
    headers: headers.map(([name, value]) => [name, value]),
    body,
    signal,
    cf: { ...place },
  });
  const log = { requestId, method, route, userId: principal.userId };
  const arrived = { request, env, isolate: isolateOf(env), requestId, arrivedAtMs, address, defer, log };
  return { ...arrived, catalog: await catalogFor(arrived), principal };
}
