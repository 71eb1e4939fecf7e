/**
 * A host that answers as no engine should: a bare TCP server, so that every byte is the test's. What it does is named by
 * the model that it is asked for. It keeps the requests as they arrived.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";

const MIB = 1024 * 1024;

/** What a caller is to hear: an answer, or an error by status and code. */
export type Heard = "answer" | { readonly status: number; readonly code: string };

export type Trick = {
  readonly name: string;
  /** @param stream whether it is asked for one */
  readonly play: (socket: Socket, stream: boolean) => unknown;
  readonly whole: Heard;
  readonly streamed: Heard;
  /** Only a deadline ends it. */
  readonly isEndless?: boolean;
};

const ANSWER = JSON.stringify({
  id: "a",
  object: "chat.completion",
  created: 1,
  model: "x",
  choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "hello" } }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
});
const piece = (delta: object, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ id: "a", object: "chat.completion.chunk", created: 1, model: "x", choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
const EVENTS = `${piece({ role: "assistant", content: "hello" })}${piece({}, "stop")}data: [DONE]\n\n`;
const typeOf = (stream: boolean) => `content-type: ${stream ? "text/event-stream" : "application/json"}\r\n`;
const bodyOf = (stream: boolean) => (stream ? EVENTS : ANSWER);
const CLOSE = "connection: close\r\n";
const FAILED = { status: 502, code: "upstream_error" };
const LATE = { status: 504, code: "total_timeout" };
const REFUSED = { status: 502, code: "upstream_refused" };

/** A whole response with this body; `more` are header lines. */
const say = (socket: Socket, status: string, more: string, body: string | Uint8Array): void => {
  socket.write(`HTTP/1.1 ${status}\r\n${more}content-length: ${Buffer.byteLength(body)}\r\n${CLOSE}\r\n`);
  socket.end(body);
};
const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

/** Resolves when more can be written, or nobody listens any more. */
function taken(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}

/** Writes as fast as it is taken, until so many bytes are out or nobody listens any more. */
async function pour(socket: Socket, bytes: number, filling: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes && !socket.destroyed; sent += filling.byteLength) {
    if (!socket.write(filling)) await taken(socket);
  }
}

/** Repeats a piece for ever, slowly. */
function drip(socket: Socket, text: string): void {
  const timer = setInterval(() => socket.write(text), 50);
  socket.once("close", () => clearInterval(timer));
}

const LETTERS = Buffer.alloc(256 * 1024, "a");
/** 256 MiB of text, 250 KB as it travels. */
const BOMB = gzipSync(Buffer.concat([Buffer.from('data: {"choices":"'), Buffer.alloc(256 * MIB, "a")]));

const status =
  (line: string, more = ""): Trick["play"] =>
  (socket, stream) =>
    say(socket, line, `${typeOf(stream)}${more}`, "");

/** @param elsewhere a URL that nobody may follow a redirect to */
export const tricksOf = (elsewhere: string): readonly Trick[] => [
  {
    name: "fifty-mb-line",
    play: async (socket, stream) => {
      socket.write(`HTTP/1.1 200 OK\r\n${typeOf(stream)}${CLOSE}\r\n${stream ? "data: " : ""}{"choices":"`);
      await pour(socket, 50 * MIB, LETTERS);
      socket.end();
    },
    whole: FAILED,
    streamed: FAILED,
  },
  {
    // With words before it: the caller has them, and hears of the rest in the stream.
    name: "line-after-words",
    play: async (socket, stream) => {
      socket.write(`HTTP/1.1 200 OK\r\n${typeOf(stream)}${CLOSE}\r\n${piece({ content: "words" })}data: {"choices":"`);
      await pour(socket, 50 * MIB, LETTERS);
      socket.end();
    },
    whole: FAILED,
    streamed: { status: 200, code: "upstream_error" },
  },
  {
    name: "silent-after-words",
    isEndless: true,
    play: (socket, stream) => {
      socket.write(`HTTP/1.1 200 OK\r\n${typeOf(stream)}${CLOSE}\r\n${piece({ content: "words" })}`);
      drip(socket, stream ? ": ping\n\n" : " ");
    },
    whole: LATE,
    streamed: { status: 200, code: "next_token_timeout" },
  },
  {
    name: "gzip-bomb",
    play: (socket, stream) => say(socket, "200 OK", `${typeOf(stream)}content-encoding: gzip\r\n`, BOMB),
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "gzip-bomb-as-error",
    play: (socket, stream) => say(socket, "400 Bad", `${typeOf(stream)}content-encoding: gzip\r\n`, BOMB),
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "no-gzip-at-all",
    play: (socket, stream) => say(socket, "200 OK", `${typeOf(stream)}content-encoding: gzip\r\n`, bodyOf(stream)),
    whole: FAILED,
    streamed: FAILED,
  },
  ...["text/html", "text/plain", "application/octet-stream", "", "application/jsonp"].map(
    (type): Trick => ({
      name: `type-${type || "none"}`,
      play: (socket, stream) => say(socket, "200 OK", type === "" ? "" : `content-type: ${type}\r\n`, bodyOf(stream)),
      whole: type === "application/jsonp" ? "answer" : FAILED,
      streamed: FAILED,
    }),
  ),
  {
    name: "the-other-type",
    play: (socket, stream) => say(socket, "200 OK", typeOf(!stream), bodyOf(stream)),
    whole: FAILED,
    streamed: FAILED,
  },
  ...["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"].map(
    (line): Trick => ({
      name: `redirect-${line.slice(0, 3)}`,
      play: status(line, `location: ${elsewhere}\r\n`),
      whole: REFUSED,
      streamed: REFUSED,
    }),
  ),
  ...["204 No Content", "205 Reset", "206 Partial"].map(
    (line): Trick => ({
      name: `status-${line.slice(0, 3)}`,
      play: line.startsWith("204")
        ? (socket) => socket.end(`HTTP/1.1 ${line}\r\n${CLOSE}\r\n`)
        : (socket, stream) => say(socket, line, typeOf(stream), line.startsWith("206") ? bodyOf(stream) : ""),
      whole: FAILED,
      streamed: FAILED,
    }),
  ),
  {
    name: "status-304",
    play: (socket) => socket.end(`HTTP/1.1 304 Not Modified\r\n${CLOSE}\r\n`),
    whole: REFUSED,
    streamed: REFUSED,
  },
  {
    name: "an-empty-200",
    play: status("200 OK"),
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "trailers",
    play: (socket, stream) => {
      const head = `HTTP/1.1 200 OK\r\n${typeOf(stream)}transfer-encoding: chunked\r\ntrailer: set-cookie\r\n${CLOSE}\r\n`;
      socket.end(`${head}${chunked(bodyOf(stream))}0\r\nset-cookie: a=b\r\nx-evil: 1\r\n\r\n`);
    },
    whole: "answer",
    streamed: "answer",
  },
  {
    name: "interim-answers",
    play: (socket, stream) => {
      socket.write("HTTP/1.1 100 Continue\r\n\r\n");
      socket.write("HTTP/1.1 103 Early Hints\r\nlink: </evil.js>; rel=preload\r\n\r\n");
      say(socket, "200 OK", typeOf(stream), bodyOf(stream));
    },
    whole: "answer",
    streamed: "answer",
  },
  {
    name: "never-ends",
    isEndless: true,
    play: (socket, stream) => {
      socket.write(`HTTP/1.1 200 OK\r\n${typeOf(stream)}${CLOSE}\r\n`);
      drip(socket, stream ? ": ping\n\n" : " ");
    },
    whole: LATE,
    streamed: LATE,
  },
  {
    name: "head-never-ends",
    isEndless: true,
    play: (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      drip(socket, "x-more: 1\r\n");
    },
    whole: LATE,
    streamed: LATE,
  },
  {
    name: "length-too-long",
    play: (socket, stream) => {
      const length = Buffer.byteLength(bodyOf(stream)) + 100;
      socket.end(`HTTP/1.1 200 OK\r\n${typeOf(stream)}content-length: ${length}\r\n${CLOSE}\r\n${bodyOf(stream)}`);
    },
    whole: FAILED,
    // Its last event is there: what should follow is nobody's.
    streamed: "answer",
  },
  {
    name: "length-too-short",
    play: (socket, stream) =>
      socket.end(`HTTP/1.1 200 OK\r\n${typeOf(stream)}content-length: 40\r\n${CLOSE}\r\n${bodyOf(stream)}`),
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "two-lengths",
    play: (socket, stream) =>
      socket.end(
        `HTTP/1.1 200 OK\r\n${typeOf(stream)}content-length: 1\r\ncontent-length: ${bodyOf(stream).length}\r\n${CLOSE}\r\n${bodyOf(stream)}`,
      ),
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "header-bomb",
    play: (socket, stream) =>
      say(socket, "200 OK", `${typeOf(stream)}${`x-bomb: ${"b".repeat(8_000)}\r\n`.repeat(250)}`, bodyOf(stream)),
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "no-http",
    play: (socket) => socket.end("SSH-2.0-OpenSSH_9.6\r\n"),
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "half-a-head",
    play: (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-ty"),
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "no-utf-8",
    play: (socket, stream) => {
      const body = Buffer.from(bodyOf(stream).replace("hello", "he~lo"), "latin1");
      body[body.indexOf("~")] = 0xff;
      say(socket, "200 OK", typeOf(stream), body);
    },
    whole: FAILED,
    streamed: FAILED,
  },
  {
    name: "names-itself",
    play: (socket, stream) =>
      say(
        socket,
        "200 OK",
        `${typeOf(stream)}server: uvicorn\r\nset-cookie: s=1\r\nx-powered-by: evil\r\nvia: 1.1 inside\r\nalt-svc: h3=":1"\r\naccess-control-allow-origin: *\r\nx-request-id: theirs\r\ncf-ray: 1\r\nratelimit: "x"\r\nkeep-alive: timeout=5\r\nrefresh: 0\r\n`,
        bodyOf(stream),
      ),
    whole: "answer",
    streamed: "answer",
  },
];

export type HostileHost = {
  readonly url: string;
  /** Each request as it arrived, probes left out. */
  readonly heads: string[];
  readonly stop: () => Promise<void>;
};

/** Starts one on a free port of loopback. */
export async function startHostileHost(tricks: readonly Trick[]): Promise<HostileHost> {
  const heads: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    // Whoever is cut off has nothing more to say.
    socket.on("error", () => socket.destroy());
    let seen = "";
    const onData = (part: Buffer): void => {
      seen += part.toString("latin1");
      const end = seen.indexOf("\r\n\r\n");
      const length = Number(/^content-length: (\d+)/im.exec(seen)?.[1] ?? 0);
      if (end === -1 || seen.length < end + 4 + length) return;
      socket.off("data", onData);
      if (seen.startsWith("GET ")) {
        say(socket, seen.startsWith("GET /health") ? "200 OK" : "404 No", "", "");
        return;
      }
      heads.push(seen.slice(0, end));
      const { model, stream } = JSON.parse(seen.slice(end + 4)) as { model: string; stream?: boolean };
      tricks.find(({ name }) => name === model)?.play(socket, stream === true);
    };
    socket.on("data", onData);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    heads,
    stop: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
