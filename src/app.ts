/**
 * The contents page: every route with its method, what a caller needs for it, and its conductor. What happens to all
 * requests alike is in `ingress/conduct.ts`.
 */
import { Hono } from "hono";
import { issueKey, listKeys, revokeKey, rotateKey } from "./admin/api-keys.ts";
import { auditPage } from "./admin/audit.ts";
import { drainHost } from "./admin/drain.ts";
import { fleetPage } from "./admin/fleet.ts";
import { purgeKeys } from "./admin/issuer-keys.ts";
import { listJobs, runJob } from "./admin/jobs.ts";
import { everybodysUsage } from "./admin/usage.ts";
import type { Env } from "./env.ts";
import { cancelBatch, createBatch, getBatch, listBatches } from "./ingress/batches.ts";
import type { Call } from "./ingress/call.ts";
import { openChatSocket } from "./ingress/chat-socket.ts";
import { comesBack, streamChat } from "./ingress/chat-stream.ts";
import { conduct, type RouteEntry } from "./ingress/conduct.ts";
import { giveFeedback } from "./ingress/feedback.ts";
import { createFile, deleteFile, fileContent, getFile, listFiles } from "./ingress/files.ts";
import { readForm } from "./ingress/form.ts";
import { generate } from "./ingress/generate.ts";
import { health } from "./ingress/health.ts";
import { limitsPage } from "./ingress/limits.ts";
import { countMessageTokens } from "./ingress/messages/count.ts";
import { getModel, listModels } from "./ingress/models.ts";
import { preflight } from "./ingress/page.ts";
import { questionOf } from "./ingress/question.ts";
import { respond } from "./ingress/responses/respond.ts";
import { ask, continueStream, endStream } from "./ingress/resume.ts";
import { issueTicket } from "./ingress/tickets.ts";
import { ownUsage } from "./ingress/usage.ts";
import { Problem } from "./problem.ts";

export const ROUTES: readonly RouteEntry[] = [
  { method: "GET", path: "/health", need: "none", answer: health },
  {
    method: "POST",
    path: "/v1/chat/completions",
    need: "inference",
    rate: "completions",
    answer: ask,
  },
  {
    method: "POST",
    path: "/v1/completions",
    need: "inference",
    rate: "completions",
    answer: ask,
  },
  { method: "POST", path: "/v1/responses", need: "inference", rate: "completions", answer: respond },
  {
    method: "POST",
    path: "/v1/embeddings",
    need: "embeddings",
    rate: "embeddings",
    answer: ask,
  },
  {
    method: "POST",
    path: "/v1/messages",
    need: "inference",
    rate: "completions",
    keyHeader: "x-api-key",
    answer: ask,
  },
  {
    method: "POST",
    path: "/v1/messages/count_tokens",
    need: "inference",
    rate: "completions",
    keyHeader: "x-api-key",
    answer: countMessageTokens,
  },
  {
    method: "POST",
    path: "/v1/rerank",
    need: "embeddings",
    rate: "embeddings",
    answer: (call) => generate(call, (document) => questionOf("rerank", document)),
  },
  {
    method: "POST",
    path: "/v1/audio/transcriptions",
    need: "inference",
    rate: "completions",
    answer: (call) => generate(call, (document) => questionOf("transcriptions", document), readForm),
  },
  {
    method: "POST",
    path: "/tokenize",
    need: "inference",
    rate: "embeddings",
    answer: (call) => generate(call, (document) => questionOf("tokenize", document)),
  },
  // With whichever credential the stream was asked for.
  {
    method: "GET",
    path: "/v1/streams/:parameter",
    need: "inference",
    keyHeader: "x-api-key",
    answer: continueStream,
  },
  {
    method: "DELETE",
    path: "/v1/streams/:parameter",
    need: "inference",
    keyHeader: "x-api-key",
    answer: endStream,
  },
  { method: "GET", path: "/v1/models", need: "models", answer: listModels },
  // A model's name may hold slashes.
  { method: "GET", path: "/v1/models/:parameter{.+}", need: "models", answer: getModel },
  { method: "POST", path: "/v1/files", need: "own", answer: createFile },
  { method: "GET", path: "/v1/files", need: "own", answer: listFiles },
  { method: "GET", path: "/v1/files/:parameter", need: "own", answer: getFile },
  { method: "DELETE", path: "/v1/files/:parameter", need: "own", answer: deleteFile },
  { method: "GET", path: "/v1/files/:parameter/content", need: "own", answer: fileContent },
  { method: "POST", path: "/v1/batches", need: "own", answer: createBatch },
  { method: "GET", path: "/v1/batches", need: "own", answer: listBatches },
  { method: "GET", path: "/v1/batches/:parameter", need: "own", answer: getBatch },
  { method: "POST", path: "/v1/batches/:parameter/cancel", need: "own", answer: cancelBatch },
  { method: "GET", path: "/v1/limits", need: "own", answer: limitsPage },
  { method: "GET", path: "/v1/usage", need: "own", answer: ownUsage },
  { method: "POST", path: "/v1/feedback", need: "own", answer: giveFeedback },
  { method: "POST", path: "/v1/tickets", need: "own", pages: [], answer: issueTicket },
  {
    method: "GET",
    path: "/ws/chat/:parameter{.+}",
    need: "inference",
    pages: ["ticket", "protocol"],
    answer: openChatSocket,
  },
  {
    method: "GET",
    path: "/stream/chat/:parameter{.+}",
    need: "inference",
    rate: "completions",
    pages: ["ticket"],
    early: comesBack,
    answer: streamChat,
  },
  { method: "GET", path: "/admin/fleet", need: "admin", answer: fleetPage },
  { method: "POST", path: "/admin/fleet/:parameter", need: "admin", answer: drainHost },
  { method: "GET", path: "/admin/audit", need: "admin", answer: auditPage },
  { method: "GET", path: "/admin/usage", need: "admin", answer: everybodysUsage },
  { method: "GET", path: "/admin/jobs", need: "admin", answer: listJobs },
  { method: "POST", path: "/admin/jobs/:parameter", need: "admin", answer: runJob },
  { method: "DELETE", path: "/admin/issuer-keys", need: "admin", answer: purgeKeys },
  { method: "GET", path: "/admin/keys", need: "admin", answer: listKeys },
  { method: "POST", path: "/admin/keys", need: "admin", answer: issueKey },
  { method: "DELETE", path: "/admin/keys/:parameter", need: "admin", answer: revokeKey },
  { method: "POST", path: "/admin/keys/:parameter/rotate", need: "admin", answer: rotateKey },
];

export const app = new Hono<{ Bindings: Env }>();

for (const route of ROUTES) {
  app.on(route.method, route.path, (c) =>
    conduct(c.req.raw, c.env, c.executionCtx, route, c.req.param("parameter") ?? ""),
  );
}
for (const path of new Set(ROUTES.map((route) => route.path))) {
  const routes = ROUTES.filter((route) => route.path === path);
  const allowed = routes.map(({ method }) => method);
  // A route that takes GET takes HEAD (RFC 9110, 9.3.2).
  const allow = allowed.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])).join(", ");
  const refusing = () => refused(path, new Problem("method_not_allowed", { headers: { allow } }));
  const isForPages = routes.some(({ pages }) => pages !== undefined);
  const toPages = {
    method: "GET",
    path,
    need: "none",
    pages: [],
    answer: (call: Call) => preflight(call, allow),
  } as const;
  app.all(path, (c) => conduct(c.req.raw, c.env, c.executionCtx, isForPages ? toPages : refusing()));
}
app.notFound((c) => conduct(c.req.raw, c.env, c.executionCtx, refused("(none)", new Problem("unknown_url"))));

function refused(path: string, problem: Problem): RouteEntry {
  return { method: "GET", path, need: "none", answer: () => Promise.reject(problem) };
}
