/**
 * The gateway's request path, cut off after each of its stages: up to the cut by the stages themselves, in the order in
 * which `conduct` and `generate` have them, and natively from there on.
 */
import { admission, leaseOf } from "#src/ingress/admit.ts";
import { type Asking, askHosts, dialectFor, leaving, release } from "#src/ingress/ask-hosts.ts";
import { readJson } from "#src/ingress/body.ts";
import { cacheSaltOf } from "#src/ingress/cache-salt.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { hostsFor } from "#src/ingress/choose-host.ts";
import type { RouteEntry } from "#src/ingress/conduct.ts";
import { lookUpAnswer, NOT_ASKED, type Prepared, prepare } from "#src/ingress/generate.ts";
import { readerOf } from "#src/ingress/questions.ts";
import { releaseBehind } from "#src/ingress/settle.ts";
import { rateLimitHeaders } from "#src/limits/headers.ts";
import { askWhole, type WholeAnswer } from "#src/upstream/exchange.ts";
import { NOTHING_YET } from "#src/upstream/tally.ts";
import { pathOf, WHOLE } from "../rungs.ts";
import { passOn, putTo } from "./pass-on.ts";
import { relayed, tapped } from "./stream-cuts.ts";

/** By this path `readerOf` knows how a question is read, and every cut is logged as the route that it is cut from. */
const ROUTE = { method: "POST", path: pathOf(WHOLE) } as const;

export const CUTS: Readonly<Record<string, RouteEntry>> = {
  conduct: { ...ROUTE, need: "none", answer: async (call) => answerOf(await passOn(call.env, call.request)) },
  auth: guarded(async (call) => answerOf(await passOn(call.env, call.request))),
  parse: guarded(async (call) => putQuestion(call, await parsed(call))),
  cache: guarded(async (call) => {
    const prepared = await parsed(call);
    // A model may be open to the cache whose callers mostly ask for variety; this is what one pays who does not.
    await lookUpAnswer(call, prepared.question, { ...prepared.model, cache: { ttl: 60, scope: "user" } });
    return putQuestion(call, prepared);
  }),
  admit: guarded(async (call) => {
    const asking = await admitted(call);
    return undone(asking, putQuestion(call, asking));
  }),
  take: guarded(async (call) => {
    const asking = await admitted(call);
    const next = await hostsFor(asking, leaving(call.request).signal, "first").next([]);
    if (next.kind !== "host") throw new Error(`no host is free: ${next.kind}`);
    next.by.askedAtMs = Date.now();
    const answer = putQuestion(call, asking);
    return undone(
      asking,
      answer.finally(() => release(asking, next.by, "complete", NOTHING_YET, null)),
    );
  }),
  ask: guarded(async (call) => {
    const asking = await admitted(call);
    const asked = askHosts<WholeAnswer>(asking, {
      exchange: askWhole,
      dialect: dialectFor(asking),
      tried: [],
      kind: "first",
      left: leaving(call.request).signal,
    }).then((result) => {
      if (result.kind !== "answered") throw new Error(`no answer: ${result.kind}`);
      release(asking, result.by, "complete", result.answer.tally, null);
      return new Response(result.answer.text, { headers: { "content-type": "application/json" } });
    });
    return undone(asking, asked);
  }),
  relay: guarded(async (call) => relayed(call, await parsed(call))),
  tap: guarded(async (call) => tapped(call, await parsed(call))),
};

function guarded(answer: (call: KnownCall) => Promise<Response>): RouteEntry {
  return { ...ROUTE, need: "inference", rate: "completions", answer };
}

/** The question, as it will be asked. */
async function parsed(call: KnownCall): Promise<Prepared> {
  const { document, bytes } = await readJson(call.request);
  const prepared = prepare(call, { ...readerOf(call)(document), recording: null }, bytes);
  const cacheSalt = await cacheSaltOf(call.principal, call.env.CAUSEWAY_SECRET);
  return { ...prepared, question: { ...prepared.question, cacheSalt } };
}

async function admitted(call: KnownCall): Promise<Asking> {
  const { question, model, tier, draft, worst, onlyOnPrem } = await parsed(call);
  const lease = leaseOf(call, tier, draft, model.deadlines.total, await admission(call, tier, draft, worst));
  lease.hold(() => ({}));
  const headers = rateLimitHeaders(lease.standings);
  return { call, question, model, lease, draft, onlyOnPrem, keeping: null, headers, work: { ...NOT_ASKED } };
}

/** Waits for the lease to be durable, as the first byte does, and then undoes it: settling is the next rung's. */
async function undone({ call, lease, draft, headers }: Asking, answering: Promise<Response>): Promise<Response> {
  const answer = await answering;
  const isDurable = await lease.confirmed;
  releaseBehind(call, lease, draft);
  if (!isDurable) throw new Error("the lease is not durable");
  return answerOf(answer, headers);
}

/** The question in JSON, the engine's answer natively. */
async function putQuestion({ env }: KnownCall, { question }: Pick<Prepared, "question">): Promise<Response> {
  return answerOf(await putTo(env, question.body));
}

/**
 * With headers that can be written to, as `conduct` does. One of them it must find: without a standing it would ask the
 * account for one.
 */
function answerOf({ body, status, headers }: Response, further: Record<string, string> = { ratelimit: "" }): Response {
  return new Response(body, { status, headers: { "content-type": headers.get("content-type") ?? "", ...further } });
}
