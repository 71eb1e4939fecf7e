// The llama.cpp kind: native and /v1 shapes, slots, props, errors.
import { describe, expect, test } from "vitest";
import { answerOf, ask, askRaw, chatBody, chunksOf, eventsOf, hostFor, truthOf, until } from "./asking.ts";

const jetson = { id: "jetson", engine: "llamacpp", models: ["llama-q4"], slots: 2 } as const;

describe("native /completion", () => {
  test("streams content events, then one with stop, and no [DONE]", async () => {
    const host = await hostFor(jetson);
    const { text, headers } = await ask(host, "/completion", { prompt: "hi [[tokens=3]]", stream: true });
    expect(headers.get("content-type")).toBe("text/event-stream");
    const events = eventsOf(text);
    expect(events[0]).toMatch(
      /^\{"index":0,"content":" .*","tokens":\[\],"stop":false,"id_slot":\d,"tokens_predicted":1,"tokens_evaluated":3\}$/,
    );
    expect(text).not.toContain("[DONE]");
    const last = chunksOf(text).at(-1);
    expect(last).toMatchObject({ content: "", stop: true, stop_type: "eos", tokens_predicted: 3, tokens_evaluated: 3 });
    expect(last).toMatchObject({
      tokens_cached: 6,
      truncated: false,
      timings: { predicted_n: 3, prompt_n: 3, cache_n: 0 },
    });
    const { json } = await ask(host, "/completion", { prompt: "hi [[tokens=3]]" });
    expect(json.content).toBe(
      chunksOf(text)
        .map(({ content }) => content)
        .join(""),
    );
    expect((await truthOf(host)).map(({ completionTokens }) => completionTokens)).toEqual([3, 3]);
  });

  test.each([
    [{ n_predict: 2 }, "limit", "", 2],
    [{ n_predict: -1 }, "eos", "", 8],
    [{ n_predict: 0 }, "limit", "", 0],
  ])("%j ends with %s", async (more, stop_type, stopping_word, tokens_predicted) => {
    const host = await hostFor(jetson);
    const { json } = await ask(host, "/completion", { prompt: "hi [[tokens=8]]", ...more });
    expect(json).toMatchObject({ stop_type, stopping_word, tokens_predicted });
  });

  test("a stop word is named and not shown", async () => {
    const host = await hostFor(jetson);
    const whole = await answerOf(host, "/completion", { prompt: "hi [[tokens=20]]" });
    const stop = whole.slice(12, 16);
    const { json } = await ask(host, "/completion", { prompt: "hi [[tokens=20]]", stop: [stop] });
    expect(json).toMatchObject({
      stop_type: "word",
      stopping_word: stop,
      content: whole.slice(0, whole.indexOf(stop)),
    });
  });

  test("prompts may be token ids, mixed, or several", async () => {
    const host = await hostFor(jetson);
    const { tokens } = (await ask(host, "/tokenize", { content: "once upon a time" })).json;
    expect((await ask(host, "/detokenize", { tokens })).json).toEqual({ content: "once upon a time" });
    const plain = await answerOf(host, "/completion", { prompt: "once upon a time" });
    expect(await answerOf(host, "/completion", { prompt: tokens })).toBe(plain);
    expect(await answerOf(host, "/completion", { prompt: ["once", ...tokens.slice(1)] })).toBe(plain);
    expect((await ask(host, "/completion", { prompt: ["a", "b"] })).json).toHaveLength(2);
  });

  test("timings_per_token puts timings last in every event, native and /v1", async () => {
    const host = await hostFor(jetson);
    const asked = { stream: true, timings_per_token: true };
    const native = await ask(host, "/completion", { prompt: "hi [[tokens=3]]", ...asked });
    for (const event of eventsOf(native.text)) expect(event).toMatch(/,"timings":\{[^{}]*\}\}$/);
    const chat = await ask(host, "/v1/chat/completions", chatBody("hi [[tokens=3]]", asked));
    for (const event of eventsOf(chat.text).slice(1, -1)) expect(event).toMatch(/,"timings":\{[^{}]*\}\}$/);
    expect(chunksOf(native.text).map(({ timings }) => timings.predicted_n)).toEqual([1, 2, 3, 3]);
  });
});

describe("/v1", () => {
  test("chat chunks in the server's member order; timings in the final one; usage only when asked", async () => {
    const host = await hostFor(jetson);
    const plain = await ask(host, "/v1/chat/completions", chatBody("hi [[tokens=2]]", { stream: true }));
    const events = eventsOf(plain.text);
    const tail =
      /,"created":\d+,"id":"chatcmpl-[^"]+","model":"llama","system_fingerprint":"[^"]+","object":"chat.completion.chunk"/;
    expect(events[0]?.replace(tail, "")).toBe(
      '{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]}',
    );
    expect(events.at(-2)?.replace(tail, "")).toMatch(
      /^\{"choices":\[\{"finish_reason":"stop","index":0,"delta":\{\}\}\],"timings":\{/,
    );
    expect(events.at(-1)).toBe("[DONE]");
    expect(plain.text).not.toContain('"usage"');
    const asked = chatBody("hi [[tokens=2]]", { stream: true, stream_options: { include_usage: true } });
    const last = chunksOf((await ask(host, "/v1/chat/completions", asked)).text).at(-1);
    expect(last).toMatchObject({ choices: [], usage: { completion_tokens: 2, prompt_tokens: 10, total_tokens: 12 } });
    expect(Object.keys(last ?? {}).slice(-2)).toEqual(["usage", "timings"]);
  });

  test("raw completions carry usage beside the last choice", async () => {
    const host = await hostFor(jetson);
    const { text } = await ask(host, "/v1/completions", { prompt: "hi [[tokens=2]]", stream: true });
    expect(chunksOf(text).at(-1)).toMatchObject({
      choices: [{ finish_reason: "stop" }],
      usage: { completion_tokens: 2 },
    });
  });

  test("a forced tool call", async () => {
    const host = await hostFor(jetson);
    const tools = [
      { type: "function", function: { name: "f", parameters: { properties: { a: { type: "string" } } } } },
    ];
    const body = chatBody("hi", { tools, tool_choice: "required" });
    const [choice] = (await ask(host, "/v1/chat/completions", body)).json.choices;
    expect(choice).toMatchObject({ finish_reason: "tool_calls", message: { content: null } });
    const { text } = await ask(host, "/v1/chat/completions", { ...body, stream: true });
    const calls = chunksOf(text).flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? []);
    expect(calls.map((call) => call.function.arguments).join("")).toBe('{"a":"lab"}');
  });

  test("the native template and the chat route are one prompt", async () => {
    const host = await hostFor(jetson);
    const { prompt } = (await ask(host, "/apply-template", chatBody("hello"))).json;
    expect(await answerOf(host, "/completion", { prompt })).toBe(
      await answerOf(host, "/v1/chat/completions", chatBody("hello")),
    );
  });

  test("a native-only host has no /v1", async () => {
    const host = await hostFor({ ...jetson, nativeOnly: true });
    for (const path of ["/v1/chat/completions", "/v1/models", "/v1/embeddings"])
      expect(await ask(host, path, path.endsWith("models") ? undefined : {})).toMatchObject({
        status: 404,
        json: { error: { code: 404, message: "File Not Found", type: "not_found_error" } },
      });
    for (const path of ["/health", "/props", "/slots", "/metrics"]) expect((await ask(host, path)).status).toBe(200);
    expect((await ask(host, "/completion", { prompt: "x" })).status).toBe(200);
  });

  test("embeddings, OpenAI's and native", async () => {
    const host = await hostFor(jetson);
    const { json } = await ask(host, "/v1/embeddings", { input: ["a", "b"] });
    expect(json).toMatchObject({ object: "list", model: "llama-q4", usage: { prompt_tokens: 2, total_tokens: 2 } });
    const native = (await ask<[{ embedding: number[][] }]>(host, "/embedding", { content: "a" })).json;
    expect(native[0].embedding[0]).toEqual(json.data[0].embedding);
  });
});

interface Slot {
  readonly is_processing: boolean;
  readonly next_token?: readonly { readonly n_decoded: number }[];
}

test("rerank, below /v1 and above it: no texts, and no name of its own", async () => {
  const host = await hostFor({ engine: "llamacpp" });
  const body = { query: "cats", documents: ["dogs", "cats"] };
  for (const path of ["/rerank", "/v1/rerank"]) {
    const { json } = await ask<Record<string, unknown>>(host, path, body);
    expect(json).toEqual({
      model: "llama",
      object: "list",
      usage: { prompt_tokens: 6, total_tokens: 6 },
      results: [1, 0].map((index) => ({ index, relevance_score: expect.any(Number) })),
    });
  }
});

describe("state", () => {
  test("slots show what runs, and fail_on_no_slot refuses when none is free", async () => {
    const host = await hostFor({ ...jetson, tokensPerSecond: 20 });
    expect((await ask(host, "/slots?fail_on_no_slot=1")).status).toBe(200);
    const leaving = [1, 2].map((each) =>
      askRaw(host, "/completion", { prompt: `x${each} [[tokens=500]]`, stream: true }, 400),
    );
    const busy = await until(
      async () => (await ask<Slot[]>(host, "/slots")).json,
      (slots) => slots.every((slot) => (slot.next_token?.[0]?.n_decoded ?? 0) > 0),
    );
    expect(busy).toMatchObject([
      { id: 0, n_ctx: 4096, is_processing: true, params: { stream: true } },
      { id: 1, is_processing: true },
    ]);
    expect(await ask(host, "/slots?fail_on_no_slot=1")).toMatchObject({
      status: 503,
      json: { error: { code: 503, type: "unavailable_error" } },
    });
    await Promise.all(leaving);
    await until(
      async () => (await ask<Slot[]>(host, "/slots")).json,
      (slots) => slots.every((slot) => !slot.is_processing),
    );
  });

  test("health, props, models", async () => {
    const host = await hostFor(jetson);
    expect((await ask(host, "/health")).text).toBe('{"status":"ok"}');
    expect((await ask(host, "/props")).json).toMatchObject({ total_slots: 2, is_sleeping: false });
    expect((await ask(host, "/v1/models")).json.data).toMatchObject([{ id: "llama-q4", meta: { n_ctx_train: 4096 } }]);
  });

  test("one server lists one model, whatever names it goes by", async () => {
    const host = await hostFor({ ...jetson, models: ["llama-q4", "another name"] });
    expect((await ask(host, "/v1/models")).json).toMatchObject({ data: [{ id: "llama-q4" }], models: [{}] });
    expect((await ask(host, "/v1/completions", { model: "another name", prompt: "x" })).status).toBe(200);
  });

  test("the key guards all but health", async () => {
    const host = await hostFor({ ...jetson, apiKey: "k" });
    for (const path of ["/v1/models", "/slots", "/props", "/metrics"])
      expect(await ask(host, path)).toMatchObject({ status: 401, json: { error: { type: "authentication_error" } } });
    for (const path of ["/health", "/lab/pace"]) expect((await ask(host, path)).status).toBe(200);
    expect((await ask(host, "/slots", undefined, { headers: { authorization: "Bearer k" } })).status).toBe(200);
  });
});

describe("refusals", () => {
  test.each([
    ["no prompt", "/completion", {}, 400, "invalid_request_error"],
    ["no JSON", "/completion", "{", 500, "server_error"],
    ["n_predict a string", "/completion", { prompt: "x", n_predict: "9" }, 400, "invalid_request_error"],
    ["more choices than slots", "/v1/chat/completions", chatBody("x", { n: 3 }), 400, "invalid_request_error"],
    ["over the context", "/completion", { prompt: `${"word ".repeat(4999)}word` }, 400, "exceed_context_size_error"],
    ["unknown path", "/nothing", {}, 404, "not_found_error"],
    ["wrong method", "/slots", {}, 404, "not_found_error"],
  ])("%s", async (_name, path, body, status, type) => {
    const host = await hostFor(jetson);
    const refused = await ask(host, path, body);
    expect(refused.status).toBe(status);
    expect(refused.json.error).toMatchObject({ code: status, type });
    if (type === "exceed_context_size_error")
      expect(refused.json.error).toMatchObject({ n_prompt_tokens: 5000, n_ctx: 4096 });
    expect(await truthOf(host)).toEqual([]);
  });
});
