// One answer's event stream on the wire, and the faults that strike in its midst. It knows bytes and how many tokens an
// event carries; what an event says is the dialect's.
import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { gzipped } from "./compressed.ts";
import { watchDeparture } from "./departure.ts";
import { Drip, perByte, perLineBreak } from "./drip.ts";
import type { Fault } from "./faults.ts";
import { resetOf } from "./reset.ts";

const GARBAGE = 'data: {"id":"lab-garbage","object":"chat.comp\n\n';
const DONE = "data: [DONE]\n\n";
/** The first half of an emoji in UTF-8, for events that have no long character of their own. */
const HALF_CHARACTER = Buffer.from([0xf0, 0x9f]);
/** The first byte of a character of more than one (RFC 3629). */
const LONG_CHARACTER = 0xc0;

/** How a stream is over: connection cut, connection reset, ended as if all were said, or left hanging. */
type Over = "cut" | "reset" | "ended" | "hung";

export interface StreamHooks {
  /** What the engine sends when it breaks down in the midst of a stream; "" if it says nothing. */
  readonly errorEvent: string;
  /** Events carrying this many tokens went out to a caller who was there; negative: those of before did not. */
  handed(tokens: number): void;
  /** A fault ended the stream; a hung one stays open and says so. */
  struck(hung: boolean): void;
}

export class EventStream {
  readonly #res: ServerResponse;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #hooks: StreamHooks;
  readonly #fault: Fault | null;
  readonly #drip: Drip | null;
  /** Where the bytes go: the answer itself, or what compresses them on their way there. */
  readonly #sink: Writable;
  #pending = "";
  #pendingTokens = 0;
  /** Tokens that made no event of their own: their text is held back, and the next event carries them. */
  #owedTokens = 0;
  #passed = 0;
  #struck = false;
  #callerLeft = false;
  /** Of the last write. */
  #lastTokens = 0;
  /** Of writes of which it is not known yet that the system took them. */
  #unconfirmed = 0;

  constructor(res: ServerResponse, headers: Readonly<Record<string, string>>, fault: Fault | null, hooks: StreamHooks) {
    this.#res = res;
    this.#headers = headers;
    this.#hooks = hooks;
    this.#fault = fault;
    this.#sink = fault?.kind === "compressed" ? gzipped(res) : res;
    this.#drip = dripOf(res, fault, (tokens) => hooks.handed(tokens));
    watchDeparture(
      res,
      () => {
        this.#callerLeft = true;
      },
      () => hooks.handed(-this.#lastTokens),
    );
  }

  /** Sends status and headers, before any event. */
  open(): void {
    if (this.#res.headersSent) return;
    const encoding = this.#sink === this.#res ? {} : { "content-encoding": "gzip" };
    this.#res.writeHead(200, { ...this.#headers, ...encoding });
    this.#res.flushHeaders();
  }

  /** Adds one or more whole events; they leave with the next flush. */
  push(event: string, generatedTokens: number): void {
    if (this.#struck) return;
    const tokens = generatedTokens + this.#owedTokens;
    this.#owedTokens = event === "" ? tokens : 0;
    if (event === "") return;
    if (tokens > 0 && this.#fault && !this.#drip && this.#passed >= this.#fault.afterTokens) {
      if (this.#strike(this.#fault, event)) return;
    }
    this.#passed += tokens;
    this.#pending += event;
    this.#pendingTokens += tokens;
  }

  /** Hands what was pushed to the socket, in one write. */
  flush(): void {
    if (this.#pending === "") return;
    this.open();
    const [text, tokens] = [this.#pending, this.#pendingTokens];
    this.#pending = "";
    this.#pendingTokens = 0;
    if (this.#drip && this.#passed > (this.#fault?.afterTokens ?? 0)) {
      this.#drip.add(text, tokens);
      return;
    }
    if (this.#callerLeft || this.#res.destroyed) return;
    this.#lastTokens = tokens;
    this.#unconfirmed += tokens;
    this.#sink.write(text, (refused) => {
      if (!refused) this.#unconfirmed -= tokens;
    });
    this.#hooks.handed(tokens);
  }

  /** Ends the stream with its last events; `done` is called when the last byte was handed over. */
  finish(ending: string, done: () => void): void {
    if (this.#struck) return;
    this.push(this.#endingStruck(ending), 0);
    this.flush();
    const end = (): void => {
      this.#sink.end();
      done();
    };
    if (this.#drip) this.#drip.whenDry(end);
    else end();
  }

  /** The connection is gone, and with it what the system had not taken. */
  abandon(): void {
    this.#hooks.handed(-this.#unconfirmed);
    this.#drip?.stop();
  }

  #endingStruck(ending: string): string {
    if (this.#fault?.kind === "fin-before-done") return ending.replace(DONE, "");
    return this.#fault?.kind === "double-done" ? ending.replace(DONE, DONE + DONE) : ending;
  }

  /** Lets the fault do its harm; true when the stream is over by it. */
  #strike(fault: Fault, event: string): boolean {
    if (this.#passed > fault.afterTokens) return false;
    const half = Buffer.from(event).subarray(0, Math.max(1, Buffer.byteLength(event) >> 1));
    switch (fault.kind) {
      case "garbage":
        this.#pending += GARBAGE;
        return false;
      case "giant-event":
        this.#pending += padded(event, fault.bytes);
        return false;
      case "error-event":
        this.#pending += this.#hooks.errorEvent;
        return this.#over(null, "ended");
      case "hang-after":
        return this.#over(null, "hung");
      case "cut-after":
        return this.#over(null, "cut");
      case "rst-after":
        return this.#over(null, "reset");
      case "cut-inside":
        return this.#over(half, "cut");
      case "fin-inside":
        return this.#over(half, "ended");
      case "half-character":
        return this.#over(tornInCharacter(event), "ended");
      case "fin-after":
        return this.#over(null, "ended");
      default:
        return false;
    }
  }

  #over(last: Buffer | null, how: Over): true {
    this.flush();
    this.open();
    this.#struck = true;
    if (last !== null) this.#res.write(last);
    const { socket } = this.#res;
    // Only once the bytes before a cut are out: it must not eat events that were counted as handed over.
    if (how === "cut") socket?.write("", () => this.#res.destroy());
    if (how === "reset") socket?.write("", () => resetOf(socket));
    if (how === "ended") this.#res.end();
    this.#hooks.struck(how === "hung");
    return true;
  }
}

function dripOf(res: ServerResponse, fault: Fault | null, handed: (tokens: number) => void): Drip | null {
  if (fault?.kind === "slow-drip") return new Drip(res, fault.ms, perByte, handed);
  return fault?.kind === "crlf-split" ? new Drip(res, fault.ms, perLineBreak, handed) : null;
}

/** An event that ends in the midst of a character. */
function tornInCharacter(event: string): Buffer {
  const bytes = Buffer.from(event);
  const at = bytes.findIndex((byte: number) => byte >= LONG_CHARACTER);
  return at >= 0 ? bytes.subarray(0, at + 1) : Buffer.concat([bytes.subarray(0, bytes.length >> 1), HALF_CHARACTER]);
}

/** The event with a member of many bytes added, so that it is valid and far too big. */
export function padded(event: string, bytes: number): string {
  const brace = event.lastIndexOf("}");
  const filler = `,"lab_padding":"${"x".repeat(bytes)}"`;
  return brace < 0 ? event + filler : event.slice(0, brace) + filler + event.slice(brace);
}
