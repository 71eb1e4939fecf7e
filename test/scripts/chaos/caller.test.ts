// What a caller makes of what it is sent: answers, refusals, streams that end in an error, connections that are lost.
import { createServer, type ServerResponse } from "node:http";
import { describe, expect, onTestFinished, test } from "vitest";
import { ask, type Seen } from "#scripts/chaos/caller.ts";

const CHUNK = 'data: {"id":"1","choices":[{"delta":{"content":"a"}}]}\n\n';
const USAGE = 'data: {"id":"1","choices":[],"usage":{"completion_tokens":9}}\n\n';
const ERROR = 'data: {"error":{"message":"m","type":"server_error","param":null,"code":"upstream_error"}}\n\n';
const refusal = (code: string): string => JSON.stringify({ error: { message: "m", type: "t", param: null, code } });

async function told(answer: (res: ServerResponse) => void, stream = true): Promise<Seen> {
  const server = createServer((_, res) => answer(res));
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return ask(`http://127.0.0.1:${port}`, "key", { workflow: "chaos-test", caller: 0, body: { stream } });
}

const cases: { name: string; answer: (res: ServerResponse) => void; stream?: boolean; seen: Partial<Seen> }[] = [
  {
    name: "a stream to its end",
    answer: (res) =>
      res.writeHead(200, { "x-causeway-host": "a" }).end(`: ping\n\n${CHUNK}${CHUNK}${USAGE}data: [DONE]\n\n`),
    seen: { status: 200, host: "a", end: "whole", completionTokens: 9, code: null },
  },
  {
    name: "a stream that ends in an error",
    answer: (res) => res.writeHead(200).end(CHUNK + ERROR),
    seen: { status: 200, host: null, end: "failed", completionTokens: 0, code: "upstream_error" },
  },
  {
    name: "a stream that just ends",
    answer: (res) => res.writeHead(200).end(CHUNK),
    seen: { end: "failed", code: null },
  },
  {
    name: "a stream that is cut",
    answer: (res) => res.writeHead(200).write(CHUNK, () => res.destroy()),
    seen: { status: 200, end: "failed", code: "connection_lost" },
  },
  {
    name: "a whole answer",
    answer: (res) => res.writeHead(200).end('{"id":"1","usage":{"completion_tokens":4}}'),
    stream: false,
    seen: { end: "whole", completionTokens: 4, firstTokenAfterMs: null },
  },
  ...[429, 503].map((status) => ({
    name: `a refusal with ${status}`,
    answer: (res: ServerResponse) => res.writeHead(status, { "retry-after": "3" }).end(refusal("host_busy")),
    seen: { status, end: "refused" as const, retryAfterS: 3, code: "host_busy", firstTokenAfterMs: null },
  })),
  {
    name: "a failure before the answer",
    answer: (res) => res.writeHead(502).end(refusal("upstream_error")),
    seen: { status: 502, end: "failed", code: "upstream_error", retryAfterS: null },
  },
  {
    name: "a connection that is closed unheard",
    answer: (res) => res.destroy(),
    seen: { status: null, end: "failed", code: "connection_lost", headersAfterMs: null },
  },
];

describe("what is seen", () => {
  test.each(cases)("$name", async ({ answer, stream, seen }) => {
    expect(await told(answer, stream)).toMatchObject(seen);
  });

  test("heartbeats are no first token", async () => {
    const { firstTokenAfterMs } = await told((res) => res.writeHead(200).end(`: ping\n\n${ERROR}`));
    expect(firstTokenAfterMs).toBeNull();
  });
});
