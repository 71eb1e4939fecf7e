/**
 * A call that is answered elsewhere than where it came in: a Durable Object that outlives the caller's connection gets
 * it as plain values and makes a call of its own of them. The door and the policy have been passed by then.
 */
import type { Principal } from "#src/auth/principal.ts";
import type { Env } from "#src/env.ts";
import { isolateOf } from "#src/isolate.ts";
import type { Call, KnownCall } from "./call.ts";
import { catalogFor } from "./conduct.ts";

/** What is looked at of all that the platform says (`region.ts`). */
const PLACES = ["colo", "country", "continent"] as const;

export type CarriedCall = {
  readonly url: string;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array | null;
  /** Where the caller is, as the platform says. */
  readonly cf: { readonly [name in (typeof PLACES)[number]]?: string };
  /** The route's pattern, for the log. */
  readonly route: string;
  readonly principal: Principal;
  readonly requestId: string;
  readonly arrivedAtMs: number;
  readonly address: string | null;
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
  const places = PLACES.map((name) => [name, request.cf?.[name]] as const);
  const cf = Object.fromEntries(places.filter(([, place]) => typeof place === "string"));
  return { url, method, headers, body, cf, route: log.route, principal, requestId, arrivedAtMs, address };
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
  const { url, method, headers, body, cf, route, principal, requestId, arrivedAtMs, address } = carried;
  const sent = headers.map(([name, value]): [string, string] => [name, value]);
  const request = new Request(url, { method, headers: sent, body, cf, signal });
  const log = { requestId, method, route, userId: principal.userId };
  const arrived = { request, env, isolate: isolateOf(env), requestId, arrivedAtMs, address, defer, log };
  return { ...arrived, catalog: await catalogFor(arrived), principal };
}
