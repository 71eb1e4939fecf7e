/**
 * What happens to every request alike, in this order: an id, the guard, the bindings and the catalog, the door, the
 * policy, the route's own conductor; and at the end the one place where a problem becomes a response.
 */
import { authenticate, type Door, type KeyHeader, refusal } from "#src/auth/authenticate.ts";
import { ringOf } from "#src/auth/memory.ts";
import { type Need, permits } from "#src/auth/policy.ts";
import type { Principal } from "#src/auth/principal.ts";
import type { Identity } from "#src/auth/proof.ts";
import { currentCatalog } from "#src/catalog/copy.ts";
import { trustedIssuer } from "#src/catalog/issuer.ts";
import type { Catalog } from "#src/catalog/schema.ts";
import { type Env, envProblems } from "#src/env.ts";
import { fleetNow } from "#src/fleet/watch.ts";
import { isolateOf } from "#src/isolate.ts";
import { speaksMessages } from "#src/messages-problem.ts";
import { noteProblem, writeLogLine } from "#src/metrics/log-line.ts";
import { asProblem, Problem, problemResponse } from "#src/problem.ts";
import { reachProblems } from "#src/upstream/reach.ts";
import { uuidv7 } from "#src/uuid.ts";
import { type Call, type KnownCall, type ProvenCall, plainHeader } from "./call.ts";
import { countRefusal, guard, type Rate } from "./guard.ts";
import { standingHeaders } from "./limits.ts";
import { type Carrier, identityOf, welcome } from "./page.ts";
import { recordDenial } from "./record.ts";
import { redeemTicket } from "./tickets.ts";

type Open = { readonly need: "none"; readonly answer: (call: Call) => Promise<Response> | Response };
type Guarded = {
  /** What a caller's credential must be good for. */
  readonly need: Need;
  /** The header beside `Authorization` that the credential may stand in. */
  readonly keyHeader?: KeyHeader;
  /** What is answered before anybody looks at a credential; null: nothing, go on. */
  readonly early?: (call: Call) => Response | null;
  readonly answer: (call: ProvenCall, parameter: string) => Promise<Response> | Response;
};
export type RouteEntry = {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  /** Which rate per address the route falls under; such routes ask the Account object for a lease. */
  readonly rate?: Rate;
  /** Open to pages of the catalog's origins, with these ways to show a credential beside the Authorization header. */
  readonly pages?: readonly Carrier[];
} & (Open | Guarded);

type Arrived = Omit<Call, "catalog">;
/** The call, once it is known who sends it, also when it is refused later on; and what a page's browser must hear. */
type Met = { call: KnownCall | null; page: Record<string, string> };

/** One request from its arrival to its response. Never rejects. */
export async function conduct(
  request: Request,
  env: Env,
  context: Pick<ExecutionContext, "waitUntil">,
  route: RouteEntry,
  parameter = "",
): Promise<Response> {
  const arrivedAtMs = Date.now();
  const requestId = uuidv7(arrivedAtMs);
  const arrived: Arrived = {
    request,
    env,
    isolate: isolateOf(env),
    requestId,
    arrivedAtMs,
    address: plainHeader(request, "cf-connecting-ip"),
    defer: (work) => context.waitUntil(work),
    log: { requestId, method: request.method, route: route.path },
  };
  const met: Met = { call: null, page: {} };
  // Only what was refused may have come by another path than its route's own, and a URL is taken apart by the platform.
  let { path } = route;
  const response = await answer(arrived, route, parameter, met).catch((thrown: unknown) => {
    const problem = asProblem(thrown);
    noteProblem(arrived.log, problem);
    path = new URL(request.url).pathname;
    return problemResponse(problem, path, requestId);
  });
  const standing = met.call === null || response.headers.has("ratelimit") ? {} : await standingHeaders(met.call);
  for (const [name, value] of Object.entries(standing)) response.headers.set(name, value);
  for (const [name, value] of Object.entries(EVERY_ANSWER)) response.headers.set(name, value);
  for (const [name, value] of Object.entries(met.page)) response.headers.set(name, value);
  response.headers.append("vary", "Authorization");
  if (route.pages !== undefined) response.headers.append("vary", "Origin");
  response.headers.set("x-request-id", requestId);
  // Anthropic's clients look for it under this name.
  if (speaksMessages(path)) response.headers.set("request-id", requestId);
  writeLogLine({ ...arrived.log, status: response.status, tookMs: Date.now() - arrivedAtMs });
  return response;
}

/** Answers are one caller's own: no cache on the way may keep them, nor a browser guess their type. */
const EVERY_ANSWER = {
  "cache-control": "private, no-store, no-transform",
  "x-content-type-options": "nosniff",
};

async function answer(arrived: Arrived, route: RouteEntry, parameter: string, met: Met): Promise<Response> {
  const { env, isolate, arrivedAtMs, address } = arrived;
  const wrong = envProblems(env);
  if (wrong.length > 0) throw new Problem("misconfigured", { cause: wrong.join("; ") });
  if (route.need !== "none") await guard(address, route.rate ?? null, env, isolate.penalties, arrivedAtMs);
  const call: Call = { ...arrived, catalog: await catalogFor(arrived) };
  if (route.pages !== undefined) met.page = pageWelcome(call, route);
  if (route.need === "none") return route.answer(call);
  const early = route.early?.(call) ?? null;
  if (early !== null) return early;

  const { principal, proof } = await known(call, route).catch(noteDenial(call, route.path));
  arrived.log.userId = principal.userId;
  const knownCall: ProvenCall = { ...call, principal, proof };
  met.call = knownCall;
  return permitted(knownCall, route, parameter).catch(noteDenial(knownCall, route.path));
}

/**
 * The catalog in force.
 *
 * @throws Problem `misconfigured` when it is wrong, or names what the Worker lacks
 */
export async function catalogFor({
  env,
  isolate,
  arrivedAtMs,
  defer,
}: Pick<Arrived, "env" | "isolate" | "arrivedAtMs" | "defer">): Promise<Catalog> {
  const { catalog, refused } = await currentCatalog(isolate.catalog, env.KV, arrivedAtMs, defer, (found) =>
    reachProblems(found, env),
  );
  if (refused.length > 0) {
    const cause = refused.map(({ path, reason }) => `catalog ${path}: ${reason}`).join("; ");
    throw new Problem("misconfigured", { cause });
  }
  const lacking = reachProblems(catalog, env);
  if (lacking.length > 0) {
    const cause = lacking.map(({ path, reason }) => `${path}: ${reason}`).join("; ");
    throw new Problem("misconfigured", { cause });
  }
  return catalog;
}

function pageWelcome(call: Call, route: RouteEntry): Record<string, string> {
  try {
    return welcome(call.request.headers, call.catalog.origins);
  } catch (thrown) {
    return noteDenial(call, route.path)(thrown);
  }
}

/** The policy, and then the route's own conductor, which may deny too. */
async function permitted(call: ProvenCall, route: Guarded, parameter: string): Promise<Response> {
  if (!permits(call.principal, { scope: route.need })) throw new Problem("insufficient_permissions");
  return route.answer(call, parameter);
}

/** Passes on what was thrown; a denial leaves its trace. */
export function noteDenial(call: Call | KnownCall, path: string): (thrown: unknown) => never {
  return (thrown) => {
    if (thrown instanceof Problem) {
      const { withheld } = thrown.facts;
      if (withheld !== undefined || thrown.status === 401 || thrown.status === 403)
        recordDenial(call, withheld ?? path, thrown);
    }
    throw thrown;
  };
}

/** The caller, by its credential. A refused one counts against the address that sent it. */
async function known({ request, env, isolate, catalog, address, defer }: Call, route: RouteEntry): Promise<Identity> {
  try {
    const door = doorOf(env, isolate, catalog, defer);
    const keyHeader = route.need === "none" ? undefined : route.keyHeader;
    const { pages } = route;
    const redeem = (ticket: string) => redeemTicket(env, ticket);
    const identity = await (pages === undefined
      ? authenticate(request, door, keyHeader)
      : identityOf(request, pages, door, redeem));
    const { principal } = identity;
    // Routes that ask for a lease hear of a revoked key there.
    if (route.rate === undefined) await refuseRetired(env, principal);
    return identity;
  } catch (thrown) {
    // One that could not be judged says when to come back, and counts against nobody.
    if (thrown instanceof Problem && thrown.code === "invalid_api_key" && thrown.facts.retryAfterS === undefined) {
      defer(countRefusal(address, env, isolate.penalties, Date.now()));
    }
    throw thrown;
  }
}

/** For whatever is answered without a lease. @throws Problem `invalid_api_key` for a revoked key, `limits_unavailable` */
export async function refuseRetired(env: Env, { accountId, keyId }: Principal): Promise<void> {
  if (keyId === null) return;
  const retired = await env.ACCOUNT.getByName(accountId)
    .isKeyRetired(keyId)
    .catch((cause: unknown) => {
      throw new Problem("limits_unavailable", { retryAfterS: 2, cause });
    });
  if (retired) throw refusal("invalid_token", "the key was revoked");
}

/** The door as this isolate has it. Also for routes that are no HTTP: it needs no request. */
export function doorOf(env: Env, isolate: Call["isolate"], catalog: Catalog, defer: Call["defer"]): Door {
  const { auth } = isolate;
  const tokens = {
    // The catalog first: it may say more of the issuer that the variables name, and what it says is then meant.
    issuers: [...catalog.issuers, trustedIssuer(env.OIDC_ISSUER, env.OIDC_AUDIENCE)],
    ringOf: (issuer: string) => ringOf(auth, issuer),
    verified: auth.verified,
    epoch: async () => (await fleetNow(isolate.fleet, env, defer)).keysEpoch,
    fetcher: fetch,
    kv: env.KV,
    now: Date.now,
    random: Math.random,
    defer,
  };
  return { tokens, catalog, secret: env.CAUSEWAY_SECRET, keyRecords: auth.keyRecords, kv: env.KV };
}
