/**
 * The bench's engine as a process: answers chat completions as fast as Node can, and the probes of gateways. It thinks of
 * nothing: what takes time here would be taken for a contestant's.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { MODEL } from "../contestants/contestant.ts";
import { nowUs } from "../load/now.ts";
import { firstEvent, lastEvents, tokenEvent, type Wanted, wholeAnswer } from "./answers.ts";
import { type Directive, directiveIn } from "./directive.ts";

const PAGES: Readonly<Record<string, string>> = {
  "/health": "",
  "/v1/models": JSON.stringify({ object: "list", data: [{ id: MODEL, object: "model", max_model_len: 32_768 }] }),
  "/metrics": `vllm:num_requests_running{model_name="${MODEL}"} 0\nvllm:num_requests_waiting{model_name="${MODEL}"} 0\n`,
};

const server = createServer((request, response) => {
  if (request.method !== "POST") return page(request, response);
  let text = "";
  request.setEncoding("latin1");
  request.on("data", (piece: string) => {
    text += piece;
  });
  request.on("end", () => answer(text, response));
});
server.keepAliveTimeout = 600_000;
server.listen(0, "127.0.0.1", 4_096, () => {
  const address = server.address();
  if (typeof address === "object" && address !== null) console.log(JSON.stringify({ ready: address.port }));
});
// Who started it says how long it is wanted: its channel ends with it.
process.on("disconnect", () => process.exit());

function page({ url }: IncomingMessage, response: ServerResponse): void {
  const body = PAGES[url ?? ""];
  response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" }).end(body);
}

function answer(question: string, response: ServerResponse): void {
  const directive = directiveIn(question);
  const begin = (): void => {
    if (/"stream"\s*:\s*true/.test(question)) stream(question, directive, response);
    else {
      const whole = wholeAnswer(directive.tokens, nowUs());
      // As vLLM's server does, it says how long its answer is.
      response.writeHead(200, { "content-type": "application/json", "content-length": whole.length }).end(whole);
    }
  };
  if (directive.firstMs === 0) begin();
  else setTimeout(begin, directive.firstMs);
}

function stream(question: string, { tokens, gapMs }: Directive, response: ServerResponse): void {
  const wanted: Wanted = {
    tokens,
    usageChunk: /"include_usage"\s*:\s*true/.test(question),
    runningCounts: /"continuous_usage_stats"\s*:\s*true/.test(question),
  };
  response.writeHead(200, { "content-type": "text/event-stream" });
  let sent = 0;
  if (gapMs === 0) {
    response.write(firstEvent(wanted));
    while (sent < tokens) response.write(tokenEvent(wanted, ++sent, nowUs()));
    response.end(lastEvents(wanted));
    return;
  }
  response.write(firstEvent(wanted) + tokenEvent(wanted, ++sent, nowUs()));
  const timer = setInterval(() => {
    if (sent < tokens) response.write(tokenEvent(wanted, ++sent, nowUs()));
    else {
      clearInterval(timer);
      response.end(lastEvents(wanted));
    }
  }, gapMs);
  response.on("close", () => clearInterval(timer));
}
