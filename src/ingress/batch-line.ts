/**
 * One line of a batch as the request that it is: through the same conductor as everybody's, with the caller's limits, but
 * in the background. Never rejects.
 */
import { refusal } from "#src/auth/authenticate.ts";
import { holds } from "#src/auth/proof.ts";
import type { Endpoint } from "#src/batches/input-line.ts";
import type { Answered } from "#src/batches/result-line.ts";
import type { HandedOut } from "#src/batches/slice.ts";
import { verdictOn } from "#src/batches/verdict.ts";
import type { Env } from "#src/env.ts";
import { type LogLine, noteProblem, writeLogLine } from "#src/metrics/log-line.ts";
import { asProblem, openAiError } from "#src/problem.ts";
import type { Call } from "./call.ts";
import { callOf } from "./carried-call.ts";
import { doorOf } from "./conduct.ts";
import { generate } from "./generate.ts";
import { questionOf, type Route } from "./question.ts";
import { RESIDENCY_HEADER } from "./residency.ts";

const ROUTE_OF = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completions",
  "/v1/embeddings": "embeddings",
} as const satisfies Record<Endpoint, Route>;

/** Nobody's: the request never came over a wire. */
const ORIGIN = "https://batch.invalid";

/**
 * Runs a line.
 *
 * @param defer keeps work alive after the answer
 * @param signal aborted when the line is not wanted any more
 */
export async function askLine(
  { batch, endpoint, principal, signedBy, residency, requestId, startedAtMs, body }: HandedOut,
  env: Env,
  defer: Call["defer"],
  signal: AbortSignal,
): Promise<Answered> {
  const log: LogLine = { requestId, method: "BATCH", route: endpoint, userId: principal.userId };
  const carried = {
    url: ORIGIN + endpoint,
    method: "POST",
    // The ledger knows the lines of a batch by it.
    headers: [
      ["content-type", "application/json"] as const,
      ["x-workflow-id", batch] as const,
      ...(residency === null ? [] : [[RESIDENCY_HEADER, residency] as const]),
    ],
    body: new TextEncoder().encode(body),
    route: endpoint,
    principal,
    requestId,
    arrivedAtMs: startedAtMs,
    address: null,
  };
  const answered = await ask().catch((thrown: unknown): Answered => {
    const problem = asProblem(thrown);
    noteProblem(log, problem);
    return { outcome: verdictOn(problem), status: problem.status, body: JSON.stringify(openAiError(problem)) };
  });
  writeLogLine({ ...log, status: answered.status, tookMs: Date.now() - startedAtMs });
  return answered;

  async function ask(): Promise<Answered> {
    const call = { ...(await callOf(carried, env, defer, signal)), log, isBackground: true };
    // A batch outlives its token, whose time may be over by now; but not the trust in whoever signed it.
    const { tokens } = doorOf(env, call.isolate, call.catalog, defer);
    if (!(await holds({ untilMs: Number.POSITIVE_INFINITY, signedBy }, tokens)))
      throw refusal("invalid_token", "the issuer's key that the order came by is not trusted any more");
    const response = await generate(call, (document) => questionOf(ROUTE_OF[endpoint], document));
    // Parsed, because a late answer begins with white space, and a line must not be broken.
    const document: unknown = JSON.parse(await response.text());
    return { outcome: { kind: "completed" }, status: response.status, body: JSON.stringify(document) };
  }
}
