/** A gateway that answers as the test says, and notes what it was asked. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export type Answer = { readonly status: number; readonly body: string; readonly location?: string };

export type FakeGateway = {
  readonly url: string;
  readonly server: Server;
  /** Method, path and credential of each request. */
  readonly seen: string[];
  /** Null: it never answers. */
  answer: (path: string) => Answer | null;
};

export async function startFakeGateway(): Promise<FakeGateway> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    const answer = gateway.answer(request.url ?? "");
    if (answer === null) return;
    const { status, body, location } = answer;
    response.writeHead(status, location === undefined ? {} : { location }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gateway: FakeGateway = { url, server, seen, answer: () => ({ status: 200, body: "{}" }) };
  return gateway;
}

export const problem = (status: number, code: string): Answer => ({
  status,
  body: JSON.stringify({ code, detail: `(${code})` }),
});
