/** Resumable answers over real connections: broken on the wire, and taken up again or left for good. */
import { type IncomingMessage, request } from "node:http";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { ask, clientOf, credentialOf, rowOf, setPace, truthOf } from "./world.ts";

const HOST = "gpu";
const MODEL = "llama-3.1-70b";
const WISH = { "x-causeway-resumable": "true" };
const TOKENS = 100;
const LEFT_ALONE_MS = 1_500;
/** Ten seconds' worth. */
const MANY_TOKENS = 400;
const question = (tokens: number) => ({
  model: MODEL,
  stream: true as const,
  temperature: 0,
  messages: [{ role: "user" as const, content: `tell me of streams [[tokens=${tokens}]]` }],
});

beforeAll(() => setPace(HOST, { ttftMs: 20, tokensPerSecond: 40, slots: 64 }));
afterAll(() => setPace(HOST, { ttftMs: 60, tokensPerSecond: 80, slots: 64 }));
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

type Seen = { readonly id: string; readonly data: string };

const eventsIn = (text: string): Seen[] =>
  Array.from(text.matchAll(/^id: (\S+)\ndata: (.*)\n\n/gm), ([, id = "", data = ""]) => ({ id, data }));
const textOf = (events: readonly Seen[]): string =>
  events
    .filter(({ data }) => data !== "[DONE]")
    .map(({ data }) => JSON.parse(data).choices[0]?.delta.content ?? "")
    .join("");

/** A connection of its own, which is broken once so many events have come. */
function broken(tokens: number, afterEvents: number): Promise<{ stream: string; events: Seen[] }> {
  const headers = {
    ...WISH,
    authorization: `Bearer ${credentialOf("premium")}`,
    "content-type": "application/json",
  };
  return new Promise((resolve, reject) => {
    const url = `${stack.gateway}/v1/chat/completions`;
    const read = (response: IncomingMessage): void => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
        const events = eventsIn(text);
        if (events.length < afterEvents) return;
        asked.destroy();
        resolve({ stream: String(response.headers["x-causeway-stream"]), events });
      });
      response.on("error", () => undefined);
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
    };
    const asked = request(url, { method: "POST", agent: false, headers }, read);
    open.push(() => asked.destroy());
    asked.on("error", () => undefined).end(JSON.stringify(question(tokens)));
  });
}

test("a connection that breaks is taken up later: the text of one that did not, one generation, one row", async () => {
  const { data, response } = await clientOf("premium")
    .chat.completions.create(question(TOKENS), { headers: WISH })
    .withResponse();
  let whole = "";
  for await (const chunk of data) whole += chunk.choices[0]?.delta.content ?? "";
  expect(response.headers.get("x-causeway-stream")).toBeTruthy();

  const { stream, events } = await broken(TOKENS, 20);
  await new Promise((resolve) => setTimeout(resolve, LEFT_ALONE_MS));
  // It went on without its caller.
  expect((await truthOf(HOST, stream))?.completionTokens).toBeGreaterThan(20 + 20);
  const last = events.at(-1)?.id ?? "";
  const headers = { "last-event-id": last };
  const resumed = await ask(`/v1/streams/${stream}`, { as: "premium", headers });
  const rest = eventsIn(await resumed.text());
  expect([...events, ...rest].map(({ id }) => id)).toEqual([...events, ...rest].map((_, n) => `${stream}:${n + 1}`));
  expect(rest.at(-1)?.data).toBe("[DONE]");
  expect(textOf([...events, ...rest])).toBe(whole);
  expect(await truthOf(HOST, stream)).toMatchObject({ ended: "stop", completionTokens: TOKENS });
  expect(await rowOf(stream)).toMatchObject({
    outcome: "complete",
    completion_tokens: TOKENS,
    attempts: 1,
    estimated: false,
  });

  const others = await ask(`/v1/streams/${stream}`, { as: "basic", headers });
  expect(others.status).toBe(404);
});

test("a connection that breaks for good: after the grace the host stops, and the ledger says why", async () => {
  const { stream } = await broken(MANY_TOKENS, 5);
  const truth = await eventually(async () => {
    const entry = await truthOf(HOST, stream);
    return entry?.ended == null ? undefined : entry;
  }, "the host goes on working for nobody");
  expect(truth.ended).toBe("aborted");
  expect(await rowOf(stream)).toMatchObject({ outcome: "client_left" });
  expect(truth.completionTokens).toBeLessThan(MANY_TOKENS);
});
