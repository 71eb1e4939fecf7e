/**
 * The contents page: every route with its method, its need and its conductor. What is true of all routes stands here
 * too: the request id, the log line, and the one place where a problem becomes a response.
 */
import { Hono } from "hono";
import { fleetPage } from "./admin/fleet.ts";
import { authenticate } from "./auth/authenticate.ts";
import { type Need, permits } from "./auth/policy.ts";
import { currentCatalog } from "./catalog/load.ts";
import { type Env, envProblems } from "./env.ts";
import { currentSnapshot } from "./fleet/snapshot.ts";
import { type Call, type KnownCall, mintRequestId } from "./ingress/call.ts";
import { generate } from "./ingress/generate.ts";
import { healthOf } from "./ingress/health.ts";
import { getModel, listModels } from "./ingress/models.ts";
import { isolateOf } from "./isolate.ts";
import { noteProblem, writeLogLine } from "./metrics/log-line.ts";
import { asProblem, Problem, problemResponse } from "./problem.ts";

type Open = { readonly need: "none"; readonly answer: (call: Call) => Promise<Response> };
type Guarded = {
  readonly need: Exclude<Need, "none">;
  readonly answer: (call: KnownCall, parameter: string) => Promise<Response> | Response;
};
export type RouteEntry = { readonly method: "GET" | "POST"; readonly path: string } & (Open | Guarded);

export const ROUTES: readonly RouteEntry[] = [
  { method: "GET", path: "/health", need: "none", answer: health },
  { method: "POST", path: "/v1/chat/completions", need: "inference", answer: (call) => generate(call, "chat") },
  { method: "POST", path: "/v1/completions", need: "inference", answer: (call) => generate(call, "completions") },
  { method: "POST", path: "/v1/embeddings", need: "inference", answer: (call) => generate(call, "embeddings") },
  { method: "GET", path: "/v1/models", need: "inference", answer: ({ catalog }) => listModels(catalog) },
  {
    method: "GET",
    path: "/v1/models/:parameter{.+}",
    need: "inference",
    answer: ({ catalog }, id) => getModel(catalog, id),
  },
  { method: "GET", path: "/admin/fleet", need: "admin", answer: fleetPage },
];

export const app = new Hono<{ Bindings: Env }>();

for (const route of ROUTES) {
  app.on(route.method, route.path, (c) =>
    conduct(c.req.raw, c.env, c.executionCtx, route, c.req.param("parameter") ?? ""),
  );
}
for (const path of new Set(ROUTES.map((route) => route.path))) {
  const allowed = ROUTES.filter((route) => route.path === path).map(({ method }) => method);
  // A route that takes GET takes HEAD (RFC 9110, 9.3.2).
  const allow = allowed.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])).join(", ");
  app.all(path, (c) =>
    conduct(
      c.req.raw,
      c.env,
      c.executionCtx,
      refusing(path, new Problem("method_not_allowed", { headers: { allow } })),
    ),
  );
}
app.notFound((c) => conduct(c.req.raw, c.env, c.executionCtx, refusing("(none)", new Problem("unknown_url"))));

function refusing(path: string, problem: Problem): RouteEntry {
  return { method: "GET", path, need: "none", answer: () => Promise.reject(problem) };
}

/** One request from its arrival to its response. Never rejects. */
async function conduct(
  request: Request,
  env: Env,
  context: Pick<ExecutionContext, "waitUntil">,
  route: RouteEntry,
  parameter = "",
): Promise<Response> {
  const arrivedAtMs = Date.now();
  const requestId = mintRequestId(arrivedAtMs);
  const log = { requestId, method: request.method, route: route.path };
  const response = await answer(
    { request, env, requestId, arrivedAtMs, log, defer: (work) => context.waitUntil(work) },
    route,
    parameter,
  ).catch((thrown: unknown) => {
    const problem = asProblem(thrown);
    noteProblem(log, problem);
    return problemResponse(problem, new URL(request.url).pathname, requestId);
  });
  for (const [name, value] of Object.entries(EVERY_ANSWER)) response.headers.set(name, value);
  response.headers.set("x-request-id", requestId);
  writeLogLine({ ...log, status: response.status, tookMs: Date.now() - arrivedAtMs });
  return response;
}

/** Answers are one caller's own: no cache on the way may keep them, nor a browser guess their type. */
const EVERY_ANSWER = {
  "cache-control": "private, no-store, no-transform",
  vary: "Authorization",
  "x-content-type-options": "nosniff",
};

async function answer(
  arrived: Omit<Call, "catalog" | "isolate">,
  route: RouteEntry,
  parameter: string,
): Promise<Response> {
  const { request, env, defer, arrivedAtMs, log } = arrived;
  const wrong = envProblems(env);
  if (wrong.length > 0) throw new Problem("misconfigured", { cause: wrong.join("; ") });
  const isolate = isolateOf(env);
  const { catalog, refused } = await currentCatalog(isolate.catalog, env.KV, arrivedAtMs, defer);
  if (refused.length > 0) {
    const cause = refused.map(({ path, reason }) => `catalog ${path}: ${reason}`).join("; ");
    throw new Problem("misconfigured", { cause });
  }
  const call: Call = { ...arrived, isolate, catalog };
  if (route.need === "none") return route.answer(call);

  const principal = await authenticate(request, {
    issuer: { issuer: env.OIDC_ISSUER, audience: env.OIDC_AUDIENCE, keys: isolate.keys },
    secret: env.CAUSEWAY_SECRET,
    kv: env.KV,
    tierOf: (claim) => (typeof claim === "string" && Object.hasOwn(catalog.tiers, claim) ? claim : "default"),
    fetcher: fetch,
    nowMs: arrivedAtMs,
  });
  log.userId = principal.userId;
  if (!permits(principal, route.need)) throw new Problem("insufficient_permissions");
  return route.answer({ ...call, principal }, parameter);
}

async function health(call: Call): Promise<Response> {
  const fleet = () => call.env.FLEET.getByName("default").snapshot();
  const { states } = await currentSnapshot(call.isolate.fleet, fleet, call.arrivedAtMs, call.defer);
  const health = healthOf(call.catalog, states);
  return Response.json(health, { status: health.status === "down" ? 503 : 200 });
}
