/**
 * A host that says very much as fast as it is taken from it, and knows how much that is. It speaks as vLLM does. An
 * engine of the lab would not do: it makes its tokens at a pace of its own, whether they are taken or not.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { KEEP_ALIVE_MS } from "#scripts/lab/listen.ts";

const WORDS = "all that can be said without a word to stop it ";
const EVENT_CHARACTERS = 4_000;
const CONTENT = WORDS.repeat(Math.ceil(EVENT_CHARACTERS / WORDS.length)).slice(0, EVENT_CHARACTERS);

/** How much it is to say: `[[bytes=N]]` in the question. */
const ASKED = /\[\[bytes=(\d+)\]\]/;

export type Taken = { readonly ofBytes: number; bytes: number };

export type Firehose = {
  readonly url: string;
  /** Bytes of each answer that were taken so far, in the order of the questions. */
  readonly taken: readonly Taken[];
  stop(): Promise<void>;
};

/** Starts it on a port of its own. */
export async function startFirehose(): Promise<Firehose> {
  const taken: Taken[] = [];
  // What it said may wait in sockets for seconds before it is read: by its clock a connection is idle long before the
  // caller's pool thinks so, and one that it closed just when it was reused lost its question (measured: 46 of 60).
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (req, res) => {
    answer(req, res, taken).catch(() => res.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    taken,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function answer(req: IncomingMessage, res: ServerResponse, taken: Taken[]): Promise<void> {
  const asked = await text(req);
  if (req.method !== "POST") {
    res.writeHead(req.url === "/health" ? 200 : 404).end();
    return;
  }
  const ofBytes = Number(ASKED.exec(asked)?.[1] ?? 0);
  const count = { ofBytes, bytes: 0 };
  taken.push(count);
  await pour(res, ofBytes, (bytes) => {
    count.bytes += bytes;
  });
}

/** Each event once the system has taken those before it. */
async function pour(res: ServerResponse, answerBytes: number, told: (bytes: number) => void): Promise<void> {
  res.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  await pipeline(eventsOf(answerBytes, told), res);
}

function* eventsOf(answerBytes: number, told: (bytes: number) => void): Generator<string> {
  const count = Math.ceil(answerBytes / EVENT_CHARACTERS);
  for (let number = 1; number <= count; number++) {
    const event = eventOf({ choices: [{ index: 0, delta: { content: CONTENT }, finish_reason: null }] });
    yield event;
    told(Buffer.byteLength(event));
  }
  yield eventOf({ choices: [{ index: 0, delta: {}, finish_reason: "length" }] });
  yield eventOf({ choices: [], usage: { prompt_tokens: 1, completion_tokens: count, total_tokens: count + 1 } });
  yield "data: [DONE]\n\n";
}

function eventOf(more: object): string {
  const head = { id: "chatcmpl-firehose", object: "chat.completion.chunk", created: 1, model: "m" };
  return `data: ${JSON.stringify({ ...head, ...more })}\n\n`;
}
