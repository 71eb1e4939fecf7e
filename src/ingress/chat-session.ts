/**
 * One socket of `/ws/chat/{model}` as a pure reducer: what to do when it opens, hears a message, ends an answer, or is
 * looked at by the alarm. The object around it (`chat-socket.do.ts`) owns sockets, timers and the generations.
 *
 * To each question the socket says `{"type": "started", "request_id": ...}`, then the events of the HTTP stream to the
 * letter, then exactly one end: `[DONE]`, an `{"error": ...}`, or `{"type": "cancelled"}`. What is refused before it
 * started is one `{"error": ...}` and nothing else.
 */
import type { Identity } from "#src/auth/proof.ts";
import type { JsonObject } from "#src/json.ts";
import { openAiError, Problem } from "#src/problem.ts";
import { readMessage } from "./chat-message.ts";
import type { Place } from "./region.ts";

/** Sockets of one account, for all its browsers and machines together: an idle one costs its object a few KB. */
export const MAX_SOCKETS = 32;
/** The platform would take 32 MiB. */
const MAX_MESSAGE_BYTES = 64 * 1024;
/** Whoever says nothing for so long is gone. A ping counts, and is answered without waking the object. */
const IDLE_MS = 60_000;
/** So often it is seen whether the credential still holds, beside what is known in advance: its expiry. */
const LOOK_EVERY_MS = 30_000;
/** A person types, and a program waits for its answer: nobody honest says more. */
const MESSAGES_PER_S = 10;
const BURST = 20;

/** RFC 6455, 7.4.1, and IANA's registry for 1013. */
const CLOSED = { idle: 1000, notText: 1003, policy: 1008, tooBig: 1009, failed: 1011, tryLater: 1013 } as const;

/** What ping and pong look like to the letter, so that the platform can answer without waking anybody. */
export const PING = '{"type":"ping"}';
export const PONG = '{"type":"pong"}';

/** All that is known of a socket, and kept with it while its object sleeps. */
export type Session = {
  readonly model: string;
  readonly identity: Identity;
  /** The caller's address; null where there is no platform in front. */
  readonly address: string | null;
  readonly place: Place;
  /** Headers of the handshake that say how the caller's questions are to be treated. */
  readonly wishes: readonly (readonly [name: string, value: string])[];
  readonly heardAtMs: number;
  /** The request id of the answer that is under way. */
  readonly running: string | null;
  /** Messages that may come at once; fractions grow back. */
  readonly messagesLeft: number;
};

export type NewSession = Pick<Session, "model" | "identity" | "address" | "place" | "wishes">;

export type Act =
  | { readonly kind: "say"; readonly text: string }
  | {
      readonly kind: "start";
      readonly requestId: string;
      /** When it was asked. The ledger takes no id that was minted at another time. */
      readonly atMs: number;
      readonly document: JsonObject;
    }
  | { readonly kind: "stop"; readonly requestId: string }
  | { readonly kind: "close"; readonly code: number; readonly reason: string };

export type Step = { readonly session: Session; readonly acts: readonly Act[] };

/** How an answer ended: with its last event, stopped, or by a refusal or failure that no event has told yet. */
export type AnswerEnd = "complete" | "stopped" | Problem;

/** @param others open sockets of the same account */
export function opened(seed: NewSession, others: number, nowMs: number): Step {
  const session = { ...seed, heardAtMs: nowMs, running: null, messagesLeft: BURST };
  if (others >= MAX_SOCKETS) return closing(session, CLOSED.tryLater, "too many sockets are open");
  return { session, acts: [] };
}

/**
 * @param text null for a message of bytes
 * @param requestId for the question, if it is one; minted at `nowMs`
 */
export function heard(before: Session, text: string | null, requestId: string, nowMs: number): Step {
  const sinceMs = Math.max(0, nowMs - before.heardAtMs);
  const messagesLeft = Math.min(BURST, before.messagesLeft + (sinceMs * MESSAGES_PER_S) / 1000) - 1;
  const session = { ...before, heardAtMs: nowMs, messagesLeft };
  if (nowMs >= session.identity.proof.untilMs) return closing(session, CLOSED.policy, "the credential has expired");
  if (text === null) return closing(session, CLOSED.notText, "messages are text");
  const bytes = text.length > MAX_MESSAGE_BYTES ? null : new TextEncoder().encode(text);
  if (bytes === null || bytes.byteLength > MAX_MESSAGE_BYTES)
    return closing(session, CLOSED.tooBig, `a message has ${MAX_MESSAGE_BYTES} bytes at most`);
  if (messagesLeft < 0) return closing(session, CLOSED.policy, "too many messages");

  const said = readMessage(bytes, session.model);
  if (said.kind === "wrong") return { session, acts: [telling(said.problem)] };
  if (said.kind === "ping") return { session, acts: [{ kind: "say", text: PONG }] };
  if (said.kind === "cancel") return { session, acts: stopping(session) };
  if (session.running !== null) return { session, acts: [telling(new Problem("generation_running"))] };
  const started = JSON.stringify({ type: "started", request_id: requestId });
  const { document } = said;
  return {
    session: { ...session, running: requestId },
    acts: [
      { kind: "say", text: started },
      { kind: "start", requestId, atMs: nowMs, document },
    ],
  };
}

/** The answer to the request of this id has ended. */
export function answered(before: Session, requestId: string, how: AnswerEnd, nowMs: number): Step {
  if (before.running !== requestId) return { session: before, acts: [] };
  const session = { ...before, running: null, heardAtMs: Math.max(before.heardAtMs, nowMs) };
  if (how === "complete") return { session, acts: [] };
  if (how === "stopped") return { session, acts: [{ kind: "say", text: '{"type":"cancelled"}' }] };
  const acts = [telling(how)];
  if (how.code === "invalid_api_key") return closing(session, CLOSED.policy, "the credential no longer holds", acts);
  if (how.code === "internal_error") return closing(session, CLOSED.failed, "the gateway failed", acts);
  return { session, acts };
}

/**
 * The object looks after a socket: by its alarm, or because something was heard of the credential.
 *
 * @param pingedAtMs when a ping was answered last; null when none was
 * @param holds whether the credential does, beside its expiry
 */
export function lookedAt(session: Session, pingedAtMs: number | null, holds: boolean, nowMs: number): Step {
  if (nowMs >= session.identity.proof.untilMs) return closing(session, CLOSED.policy, "the credential has expired");
  if (!holds) return closing(session, CLOSED.policy, "the credential no longer holds");
  if (nowMs >= idleAtMs(session, pingedAtMs)) return closing(session, CLOSED.idle, "idle");
  return { session, acts: [] };
}

/** When the socket must be looked at next. */
export function lookAtMs(session: Session, pingedAtMs: number | null, nowMs: number): number {
  return Math.min(session.identity.proof.untilMs, idleAtMs(session, pingedAtMs), nowMs + LOOK_EVERY_MS);
}

/** An API key ends earlier than it said when the socket was opened. */
export function keyEnding(session: Session, keyId: string, fromMs: number): Session {
  const { principal, proof } = session.identity;
  if (principal.keyId !== keyId) return session;
  const untilMs = Math.min(proof.untilMs, fromMs);
  return { ...session, identity: { principal, proof: { ...proof, untilMs } } };
}

/** The other side has closed the socket, or it broke. */
export function gone(session: Session): Step {
  return { session: { ...session, running: null }, acts: stopping(session) };
}

/** The object has lost the answer that was under way, with an instance that died. */
export function bereft(session: Session, nowMs: number): Step {
  if (session.running === null) return { session, acts: [] };
  return answered(session, session.running, new Problem("upstream_error"), nowMs);
}

function idleAtMs({ heardAtMs, running }: Session, pingedAtMs: number | null): number {
  return running === null ? Math.max(heardAtMs, pingedAtMs ?? 0) + IDLE_MS : Number.POSITIVE_INFINITY;
}

function telling(problem: Problem): Act {
  return { kind: "say", text: JSON.stringify(openAiError(problem)) };
}

function stopping({ running }: Session): Act[] {
  return running === null ? [] : [{ kind: "stop", requestId: running }];
}

/** Whatever is under way ends with the socket. */
function closing(session: Session, code: number, reason: string, first: readonly Act[] = []): Step {
  const acts: Act[] = [...first, ...stopping(session), { kind: "close", code, reason }];
  return { session: { ...session, running: null }, acts };
}
