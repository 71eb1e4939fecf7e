/**
 * One answer over a socket: an ordinary request of chat completions, with an id, a lease, a line in the log and a row in
 * the ledger of its own, whose events are said one by one. Runs inside the socket's object.
 */
import { refusal } from "#src/auth/authenticate.ts";
import { holds, type Identity } from "#src/auth/proof.ts";
import type { Env } from "#src/env.ts";
import { isolateOf } from "#src/isolate.ts";
import type { JsonObject } from "#src/json.ts";
import { noteProblem, writeLogLine } from "#src/metrics/log-line.ts";
import { asProblem } from "#src/problem.ts";
import { EventSplitter, fieldsOf } from "#src/sse.ts";
import type { Call, KnownCall } from "./call.ts";
import { callOf } from "./carried-call.ts";
import type { AnswerEnd, Session } from "./chat-session.ts";
import { catalogFor, doorOf, noteDenial } from "./conduct.ts";
import { generate } from "./generate.ts";
import { guard } from "./guard.ts";
import { questionOf } from "./question.ts";

export const SOCKET_ROUTE = "/ws/chat/:parameter{.+}";

export type SocketQuestion = {
  readonly session: Session;
  readonly requestId: string;
  readonly atMs: number;
  readonly document: JsonObject;
  /** Aborted when nobody wants the answer any more. */
  readonly signal: AbortSignal;
};

/**
 * Answers one question.
 *
 * @param say takes the data of one event
 * @returns how it ended, where no event has told it. Never rejects
 */
export async function answerOver(
  { session, requestId, atMs, document, signal }: SocketQuestion,
  env: Env,
  defer: Call["defer"],
  say: (data: string) => void,
): Promise<AnswerEnd> {
  const { principal, proof } = session.identity;
  const log = { requestId, method: "GET", route: SOCKET_ROUTE, userId: principal.userId };
  const carried = {
    url: "http://socket/v1/chat/completions",
    method: "POST",
    headers: [...session.wishes, ["content-type", "application/json"] as const],
    body: new TextEncoder().encode(JSON.stringify(document)),
    route: SOCKET_ROUTE,
    principal,
    requestId,
    arrivedAtMs: atMs,
    address: session.address,
    place: session.place,
  };
  try {
    const call = { ...(await callOf(carried, env, defer, signal)), log };
    const { status, body } = await answer(call, proof).catch(noteDenial(call, SOCKET_ROUTE));
    Object.assign(log, { status });
    if (body !== null) await sayAll(body, signal, say);
    return signal.aborted ? "stopped" : "complete";
  } catch (thrown) {
    const problem = asProblem(thrown);
    noteProblem(log, problem);
    Object.assign(log, { status: problem.status });
    return signal.aborted ? "stopped" : problem;
  } finally {
    writeLogLine({ ...log, tookMs: Date.now() - atMs });
  }
}

/** What a request of its own would have to pass: the rate of its address, the door, and then all that `generate` asks. */
async function answer(call: KnownCall, proof: Session["identity"]["proof"]): Promise<Response> {
  const { env, isolate, catalog, defer, address, arrivedAtMs } = call;
  // The penalties are for whoever shows a credential.
  await guard(address, "completions", env, new Map(), arrivedAtMs);
  if (!(await holds(proof, doorOf(env, isolate, catalog, defer).tokens)))
    throw refusal("invalid_token", "what the socket was opened with no longer holds");
  return generate(call, (document) => questionOf("chat", document));
}

async function sayAll(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  say: (data: string) => void,
): Promise<void> {
  const reader = body.getReader();
  // The relay has nothing to say to one who has left, not even that it is over.
  const leave = (): void => void reader.cancel().catch(() => undefined);
  signal.addEventListener("abort", leave);
  if (signal.aborted) leave();
  const events = new EventSplitter();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const event of events.push(value)) {
      const { data } = fieldsOf(event);
      if (data !== null && !signal.aborted) say(data);
    }
  }
}

/**
 * Whether what a socket was opened with still holds, beside its expiry. Where nobody can tell, it does: the next question
 * is refused by whoever can. Never rejects.
 */
export async function stillHolds({ principal, proof }: Identity, env: Env, defer: Call["defer"]): Promise<boolean> {
  const isolate = isolateOf(env);
  try {
    const catalog = await catalogFor({ env, isolate, arrivedAtMs: Date.now(), defer });
    if (!(await holds(proof, doorOf(env, isolate, catalog, defer).tokens))) return false;
    if (principal.keyId === null) return true;
    return !(await env.ACCOUNT.getByName(principal.accountId).isKeyRetired(principal.keyId));
  } catch (cause) {
    console.error(JSON.stringify({ at: "chat-socket.look", cause: String(cause) }));
    return true;
  }
}
