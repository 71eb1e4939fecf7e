/**
 * A host that says very much as fast as it is taken from it, and knows how much that is. It speaks as vLLM does. An
 * engine of the lab would not do: it makes its tokens at a pace of its own, whether they are taken or not.
 */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";

const WORDS = "all that can be said without a word to stop it ";
const EVENT_CHARACTERS = 4_000;
const CONTENT = WORDS.repeat(Math.ceil(EVENT_CHARACTERS / WORDS.length)).slice(0, EVENT_CHARACTERS);

export type Firehose = {
  readonly url: string;
  /** Bytes of each answer that were taken so far. */
  readonly taken: readonly number[];
  stop(): Promise<void>;
};

/** Starts it on a port of its own. @param answerBytes how much each answer has, about */
export async function startFirehose(answerBytes: number): Promise<Firehose> {
  const taken: number[] = [];
  const server = createServer((req, res) => {
    req.resume();
    if (req.method !== "POST") {
      res.writeHead(req.url === "/health" ? 200 : 404).end();
      return;
    }
    const at = taken.push(0) - 1;
    pour(res, answerBytes, (bytes) => {
      taken[at] = (taken[at] ?? 0) + bytes;
    }).catch(() => res.destroy());
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

async function pour(res: ServerResponse, answerBytes: number, told: (bytes: number) => void): Promise<void> {
  res.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  const events = Math.ceil(answerBytes / EVENT_CHARACTERS);
  for (let number = 1; number <= events && !res.destroyed; number++) {
    const text = eventOf({ choices: [{ index: 0, delta: { content: CONTENT }, finish_reason: null }] });
    // True: the system took it.
    const isTaken = res.write(text);
    if (!isTaken) await Promise.race([once(res, "drain"), once(res, "close")]);
    told(Buffer.byteLength(text));
  }
  res.write(eventOf({ choices: [{ index: 0, delta: {}, finish_reason: "length" }] }));
  res.write(eventOf({ choices: [], usage: { prompt_tokens: 1, completion_tokens: events, total_tokens: events + 1 } }));
  res.end("data: [DONE]\n\n");
}

function eventOf(more: object): string {
  const head = { id: "chatcmpl-firehose", object: "chat.completion.chunk", created: 1, model: "m" };
  return `data: ${JSON.stringify({ ...head, ...more })}\n\n`;
}
