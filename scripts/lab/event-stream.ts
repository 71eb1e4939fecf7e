// One answer's event stream on the wire, and the faults that strike in its midst. It knows bytes and how many tokens an
// event carries; what an event says is the dialect's.
import type { ServerResponse } from "node:http";
import { watchDeparture } from "./departure.ts";
import type { Fault } from "./faults.ts";

const GARBAGE = 'data: {"id":"lab-garbage","object":"chat.comp\n\n';

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
    this.#drip = fault?.kind === "slow-drip" ? new Drip(res, fault.ms, (tokens) => hooks.handed(tokens)) : null;
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
    this.#res.writeHead(200, this.#headers);
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
    this.#res.write(text, (refused) => {
      if (!refused) this.#unconfirmed -= tokens;
    });
    this.#hooks.handed(tokens);
  }

  /** Ends the stream cleanly; `done` is called when the last byte was handed over. */
  finish(done: () => void): void {
    if (this.#struck) return;
    this.flush();
    const end = (): void => {
      this.#res.end();
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
        return this.#over(null, false);
      case "hang-after":
        return this.#over(null, null);
      case "cut-after":
        return this.#over(null, true);
      case "cut-inside":
        return this.#over(half, true);
      case "fin-inside":
        return this.#over(half, false);
      case "fin-after":
        return this.#over(null, false);
      default:
        return false;
    }
  }

  /** The last bytes, then: cut the connection (true), end it cleanly (false), or leave it hanging (null). */
  #over(last: Buffer | null, cut: boolean | null): true {
    this.flush();
    this.open();
    this.#struck = true;
    if (cut === true) {
      // Only once the bytes before the cut are out: a cut must not eat events that were counted as handed over.
      if (last !== null) this.#res.write(last);
      this.#res.socket?.write("", () => this.#res.destroy());
    } else {
      if (last !== null) this.#res.write(last);
      if (cut === false) this.#res.end();
    }
    this.#hooks.struck(cut === null);
    return true;
  }
}

/** Writes one byte at a time. */
class Drip {
  readonly #res: ServerResponse;
  readonly #handed: (tokens: number) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #parts: { readonly bytes: Buffer; readonly tokens: number }[] = [];
  #at = 0;
  #dry: (() => void) | undefined;

  constructor(res: ServerResponse, ms: number, handed: (tokens: number) => void) {
    this.#res = res;
    this.#handed = handed;
    this.#timer = setInterval(() => this.#drop(), Math.max(1, ms));
  }

  add(text: string, tokens: number): void {
    this.#parts.push({ bytes: Buffer.from(text), tokens });
  }

  whenDry(dry: () => void): void {
    this.#dry = dry;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #drop(): void {
    const part = this.#parts[0];
    if (part === undefined) {
      if (this.#dry === undefined) return;
      this.stop();
      this.#dry();
      return;
    }
    this.#res.write(part.bytes.subarray(this.#at, this.#at + 1));
    this.#at += 1;
    if (this.#at < part.bytes.length) return;
    this.#at = 0;
    this.#parts.shift();
    this.#handed(part.tokens);
  }
}

/** The event with a member of many bytes added, so that it is valid and far too big. */
export function padded(event: string, bytes: number): string {
  const brace = event.lastIndexOf("}");
  const filler = `,"lab_padding":"${"x".repeat(bytes)}"`;
  return brace < 0 ? event + filler : event.slice(0, brace) + filler + event.slice(brace);
}
