/**
 * The sockets of one account: a thin shell over `chat-session.ts`. One object for all of them, so that they can be
 * counted, and so that whoever ends an API key finds them. It hibernates while no answer is under way: what it must know
 * of a socket is kept with the socket, and pings are answered without waking it.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "#src/env.ts";
import { uuidv7 } from "#src/uuid.ts";
import { answerOver, type SocketQuestion, stillHolds } from "./chat-answer.ts";
import {
  type Act,
  answered,
  bereft,
  gone,
  heard,
  keyEnding,
  lookAtMs,
  lookedAt,
  type NewSession,
  opened,
  PING,
  PONG,
  type Session,
  type Step,
} from "./chat-session.ts";

/** Carries the session from the Worker, which has checked everything by then. */
export const SESSION_HEADER = "x-causeway-session";

export class ChatSocket extends DurableObject<Env> {
  /** By request id: what stops an answer that is under way. */
  readonly #stops = new Map<string, AbortController>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    // This instance has no answers under way yet, whatever the one before it had.
    for (const socket of this.#open()) this.#take(socket, bereft(sessionOf(socket), Date.now()));
  }

  /** Opens a socket. The one thing that must be a request, because an answer to it can be a WebSocket. */
  override async fetch(request: Request): Promise<Response> {
    const seed: NewSession = JSON.parse(decodeURIComponent(request.headers.get(SESSION_HEADER) ?? ""));
    const others = this.#open().length;
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    this.#take(server, opened(seed, others, Date.now()));
    await this.#arm();
    return new Response(null, { status: 101, webSocket: client });
  }

  /** An API key of this account ends. @param fromMs wall clock; in the future for a key that is being rotated */
  async retireKey(keyId: string, fromMs: number): Promise<void> {
    const sockets = this.#open();
    for (const socket of sockets) socket.serializeAttachment(keyEnding(sessionOf(socket), keyId, fromMs));
    // Most owners of a key have none open, and nothing is written for them.
    if (sockets.length > 0) await this.alarm();
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    // It was on its way when the socket was closed here.
    if (socket.readyState !== WebSocket.OPEN) return;
    const nowMs = Date.now();
    const text = typeof message === "string" ? message : null;
    this.#take(socket, heard(sessionOf(socket), text, uuidv7(nowMs), nowMs));
  }

  override webSocketClose(socket: WebSocket): void {
    this.#take(socket, gone(sessionOf(socket)));
    // Else the other side waits for its close to be answered: for sockets that hibernate the platform does not do it.
    socket.close(1000, "");
  }

  override webSocketError(socket: WebSocket): void {
    this.#take(socket, gone(sessionOf(socket)));
  }

  /** Looks after every socket. Never throws: the platform drops an alarm after six failures. */
  override async alarm(): Promise<void> {
    await Promise.all(this.#open().map((socket) => this.#look(socket)));
    await this.#arm();
  }

  async #look(socket: WebSocket): Promise<void> {
    const holds = await stillHolds(sessionOf(socket).identity, this.env, this.#defer);
    // As it is now: messages were heard meanwhile.
    this.#take(socket, lookedAt(sessionOf(socket), this.#pingedAtMs(socket), holds, Date.now()));
  }

  #take(socket: WebSocket, { session, acts }: Step): void {
    socket.serializeAttachment(session);
    for (const act of acts) this.#act(socket, session, act);
  }

  #act(socket: WebSocket, session: Session, act: Act): void {
    if (act.kind === "stop") this.#stops.get(act.requestId)?.abort();
    else if (act.kind === "start") this.#defer(this.#answer(socket, session, act));
    else if (socket.readyState !== WebSocket.OPEN) return;
    else if (act.kind === "say") socket.send(act.text);
    else socket.close(act.code, act.reason);
  }

  async #answer(socket: WebSocket, session: Session, started: Pick<SocketQuestion, "requestId" | "atMs" | "document">) {
    const stop = new AbortController();
    const { requestId } = started;
    this.#stops.set(requestId, stop);
    const question = { ...started, session, signal: stop.signal };
    const say = (text: string) => this.#act(socket, session, { kind: "say", text });
    const how = await answerOver(question, this.env, this.#defer, say);
    this.#stops.delete(requestId);
    this.#take(socket, answered(sessionOf(socket), requestId, how, Date.now()));
  }

  readonly #defer = (work: Promise<void>): void => this.ctx.waitUntil(work);

  #open(): WebSocket[] {
    return this.ctx.getWebSockets().filter(({ readyState }) => readyState === WebSocket.OPEN);
  }

  #pingedAtMs(socket: WebSocket): number | null {
    return this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? null;
  }

  async #arm(): Promise<void> {
    const nowMs = Date.now();
    const looks = this.#open().map((socket) => lookAtMs(sessionOf(socket), this.#pingedAtMs(socket), nowMs));
    // An alarm that finds nobody is the last.
    if (looks.length > 0) await this.ctx.storage.setAlarm(Math.min(...looks));
  }
}

function sessionOf(socket: WebSocket): Session {
  return socket.deserializeAttachment();
}
