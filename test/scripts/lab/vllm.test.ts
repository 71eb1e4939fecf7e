// The vLLM kind, byte by byte where clients depend on bytes: chunks, whole answers, usage, errors.
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import type { LabHost } from "#scripts/lab/host.ts";
import { type Asked, answerOf, ask, chatBody, chunksOf, eventsOf, hostFor, type Reply, truthOf } from "./asking.ts";

const CHAT = "/v1/chat/completions";
type Ranked = {
  readonly results: readonly { readonly index: number }[];
  readonly usage: object;
};

describe("chat stream", () => {
  test("chunks are written as vLLM writes them", async () => {
    const host = await hostFor();
    const { text, headers } = await ask(host, CHAT, chatBody("hi [[tokens=2]]", { stream: true }), {
      headers: { "x-request-id": "abc" },
    });
    expect(headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const head = /^\{"id":"chatcmpl-abc","object":"chat.completion.chunk","created":\d+,"model":"llama","choices":\[/;
    const events = eventsOf(text);
    const bodies = events.slice(0, -1).map((data) => {
      expect(data).toMatch(head);
      return data.replace(head, "");
    });
    const [first, second] = (await answerOf(host, CHAT, chatBody("hi [[tokens=2]]"))).split(/(?= )/);
    expect(bodies).toEqual([
      '{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}',
      `{"index":0,"delta":{"content":${JSON.stringify(first)}},"logprobs":null,"finish_reason":null}]}`,
      `{"index":0,"delta":{"content":${JSON.stringify(second)}},"logprobs":null,"finish_reason":null}]}`,
      '{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop","stop_reason":null}]}',
    ]);
    expect(events.at(-1)).toBe("[DONE]");
    expect((await truthOf(host))[0]).toMatchObject({
      id: "chatcmpl-abc",
      requestId: "abc",
      completionTokens: 2,
      ended: "stop",
    });
  });

  test("usage is the last member of every chunk when continuous, and one chunk without choices ends", async () => {
    const host = await hostFor();
    const stream_options = { include_usage: true, continuous_usage_stats: true };
    const { text } = await ask(host, CHAT, chatBody("hi [[tokens=3]]", { stream: true, stream_options }));
    const data = eventsOf(text).slice(0, -1);
    for (const event of data)
      expect(event).toMatch(/,"usage":\{"prompt_tokens":10,"total_tokens":\d+,"completion_tokens":\d+\}\}$/);
    expect(chunksOf(text).map((chunk) => chunk.usage.completion_tokens)).toEqual([0, 1, 2, 3, 3, 3]);
    expect(chunksOf(text).at(-1)?.choices).toEqual([]);
  });

  test("without asking there is no usage; a host may never tell it; newer builds write token id members", async () => {
    const stream = chatBody("hi", { stream: true });
    expect((await ask(await hostFor(), CHAT, stream)).text).not.toContain('"usage"');
    const mute = await hostFor({ forceNoUsage: true });
    expect((await ask(mute, CHAT, { ...stream, stream_options: { include_usage: true } })).text).not.toContain(
      '"usage"',
    );
    expect((await ask(mute, CHAT, chatBody("hi"))).json).not.toHaveProperty("usage");
    const newer = await ask(await hostFor({ tokenIdMembers: true }), CHAT, stream);
    expect(eventsOf(newer.text)[0]).toMatch(/,"prompt_token_ids":null\}$/);
    expect(eventsOf(newer.text)[1]).toMatch(/,"finish_reason":null,"token_ids":null\}\]\}$/);
  });
});

describe("choices and limits", () => {
  test("max_tokens ends with length on the last token's own chunk", async () => {
    const host = await hostFor();
    const { text } = await ask(host, CHAT, chatBody("hi [[tokens=9]]", { stream: true, max_completion_tokens: 4 }));
    const last = chunksOf(text).at(-1)?.choices[0];
    expect(last?.finish_reason).toBe("length");
    expect(last?.delta.content).not.toBe("");
    expect((await truthOf(host))[0]).toMatchObject({ completionTokens: 4, ended: "length" });
  });

  test("ignore_eos and min_tokens go on past the model's end", async () => {
    const host = await hostFor();
    const past = await ask(host, CHAT, chatBody("[[tokens=2]]", { ignore_eos: true, max_tokens: 12 }));
    expect(past.json.usage.completion_tokens).toBe(12);
    const least = await ask(host, CHAT, chatBody("[[tokens=2]]", { min_tokens: 5 }));
    expect(least.json.usage.completion_tokens).toBe(5);
  });

  test("n answers differ and are summed in usage; every index opens with its role", async () => {
    const host = await hostFor();
    const { json } = await ask(host, CHAT, chatBody("hi [[tokens=6]]", { n: 2 }));
    expect(json.choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1]);
    expect(json.choices[0].message.content).not.toBe(json.choices[1]?.message.content);
    expect(json.usage.completion_tokens).toBe(12);
    const { text } = await ask(host, CHAT, chatBody("hi [[tokens=6]]", { n: 2, stream: true }));
    expect(
      chunksOf(text)
        .slice(0, 2)
        .map(({ choices }) => [choices[0].index, choices[0].delta.role]),
    ).toEqual([
      [0, "assistant"],
      [1, "assistant"],
    ]);
    expect((await truthOf(host)).map((entry) => entry.completionTokens)).toEqual([12, 12]);
  });

  test("a stop string that spans tokens ends the answer before it and is never shown", async () => {
    const host = await hostFor();
    const whole = await answerOf(host, CHAT, chatBody("tell me [[tokens=30]]"));
    const stop = whole.slice(20, 31);
    const body = chatBody("tell me [[tokens=30]]", { stop: [stop] });
    const { json } = await ask(host, CHAT, body);
    expect(json.choices[0]).toMatchObject({ finish_reason: "stop", stop_reason: stop });
    expect(json.choices[0].message.content).toBe(whole.slice(0, whole.indexOf(stop)));
    const { text } = await ask(host, CHAT, { ...body, stream: true });
    const said = chunksOf(text)
      .map(({ choices }) => choices[0].delta.content)
      .join("");
    expect(said).toBe(json.choices[0].message.content);
  });

  test("temperature 0 repeats, a seed repeats, no seed moves on", async () => {
    const host = await hostFor();
    const of = (more: object): Promise<string> => answerOf(host, CHAT, chatBody("x [[tokens=20]]", { ...more }));
    expect(await of({ temperature: 0 })).toBe(await of({}));
    expect(await of({ temperature: 1, seed: 7 })).toBe(await of({ temperature: 1, seed: 7 }));
    expect(await of({ temperature: 1 })).not.toBe(await of({ temperature: 1 }));
  });
});

describe("tools and JSON", () => {
  const parameters = { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } } };
  const tools = [{ type: "function", function: { name: "weather", parameters } }];

  test.each([
    ["required", "tool_calls"],
    [{ type: "function", function: { name: "weather" } }, "stop"],
  ])("tool_choice %j is a call that finishes with %s, streamed and whole", async (tool_choice, finish) => {
    const host = await hostFor();
    const whole = await ask(host, CHAT, chatBody("hi", { tools, tool_choice }));
    const [choice] = whole.json.choices;
    expect(choice.finish_reason).toBe(finish);
    expect(choice.message.tool_calls?.[0].function).toEqual({ name: "weather", arguments: '{"city":"lab","days":42}' });
    const { text } = await ask(host, CHAT, chatBody("hi", { tools, tool_choice, stream: true }));
    const calls = chunksOf(text).flatMap(({ choices }) => choices[0].delta.tool_calls ?? []);
    expect(calls[0]).toMatchObject({ type: "function", index: 0, function: { name: "weather" } });
    expect(calls.map((call) => call.function.arguments).join("")).toBe('{"city":"lab","days":42}');
    expect(chunksOf(text).at(-1)?.choices[0].finish_reason).toBe(finish);
  });

  test("JSON mode answers an object", async () => {
    const host = await hostFor();
    const text = await answerOf(host, CHAT, chatBody("hi", { response_format: { type: "json_object" } }));
    expect(JSON.parse(text)).toEqual({ answer: "lab", ok: true });
  });
});

describe("raw completions", () => {
  test("chunks carry usage null while none is asked; several prompts are several choices", async () => {
    const host = await hostFor();
    const { text } = await ask(host, "/v1/completions", { model: "llama", prompt: "once [[tokens=2]]", stream: true });
    expect(eventsOf(text)[0]).toMatch(/"object":"text_completion".*"stop_reason":null\}\],"usage":null\}$/);
    const { json } = await ask(host, "/v1/completions", { prompt: ["a", "b"], max_tokens: 3 });
    expect(json.choices.map(({ index }: { index: number }) => index)).toEqual([0, 1]);
    expect(json.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 6 });
  });

  test("token ids are the text they stand for", async () => {
    const host = await hostFor();
    const { json } = await ask(host, "/tokenize", { prompt: "once upon a 汉字" });
    expect(json).toMatchObject({ count: 4, max_model_len: 4096 });
    expect((await ask(host, "/detokenize", { tokens: json.tokens })).json).toEqual({ prompt: "once upon a 汉字" });
    const by = (prompt: unknown): Promise<string> => answerOf(host, "/v1/completions", { prompt });
    expect(await by(json.tokens)).toBe(await by("once upon a 汉字"));
    const chat = await ask(host, "/tokenize", chatBody("hi"));
    const { usage } = (await ask(host, CHAT, chatBody("hi"))).json;
    expect(usage.prompt_tokens).toBe(chat.json.count);
  });
});

describe("embeddings", () => {
  test("float and base64 say the same, dimensions cut, truth has an entry without completion", async () => {
    const host = await hostFor();
    const of = (more: object): Promise<Asked<Reply>> =>
      ask(host, "/v1/embeddings", { model: "llama", input: "a b c", ...more });
    const [float] = (await of({})).json.data;
    const [packed] = (await of({ encoding_format: "base64" })).json.data;
    const bytes = Buffer.from(packed.embedding, "base64");
    const read = Array.from({ length: bytes.length / 4 }, (_, axis) => bytes.readFloatLE(axis * 4));
    expect(read).toEqual(float.embedding);
    expect(Math.hypot(...read)).toBeCloseTo(1, 5);
    expect((await of({ dimensions: 8 })).json.data[0].embedding).toHaveLength(8);
    expect((await of({ input: ["x", "y"] })).json).toMatchObject({
      object: "list",
      usage: { prompt_tokens: 2, total_tokens: 2 },
    });
    expect((await truthOf(host))[0]).toMatchObject({ promptTokens: 3, completionTokens: 0, ended: "stop" });
  });
});

describe("information", () => {
  test("models, health, ping, version", async () => {
    const host = await hostFor({ models: ["llama", "alias"] });
    const { json } = await ask(host, "/v1/models");
    expect(json.object).toBe("list");
    expect(json.data.map((model: object) => model)).toMatchObject([
      { id: "llama", object: "model", owned_by: "vllm", max_model_len: 4096 },
      { id: "alias" },
    ]);
    for (const path of ["/health", "/ping"]) expect(await ask(host, path)).toMatchObject({ status: 200, text: "" });
    expect((await ask(host, "/version")).json).toHaveProperty("version");
  });

  test("the key guards /v1 only", async () => {
    const host = await hostFor({ apiKey: "k" });
    expect(await ask(host, "/v1/models")).toMatchObject({ status: 401, json: { error: "Unauthorized" } });
    expect((await ask(host, "/v1/models", undefined, { headers: { authorization: "Bearer k" } })).status).toBe(200);
    for (const path of ["/health", "/metrics", "/lab/truth"]) expect((await ask(host, path)).status).toBe(200);
  });
});

describe("refusals", () => {
  const long = "word ".repeat(5000);
  test.each([
    ["unknown model", CHAT, chatBody("x", { model: "no" }), 404, "NotFoundError", "model"],
    ["no messages", CHAT, { model: "llama" }, 400, "Bad Request", "messages"],
    ["messages of the wrong type", CHAT, { messages: "x" }, 400, "Bad Request", "messages"],
    ["message without role", CHAT, { messages: [{}] }, 400, "BadRequestError", "messages"],
    ["no JSON", CHAT, "{", 400, "Bad Request", null],
    ["an array", CHAT, "[]", 400, "Bad Request", null],
    ["max_tokens a string", CHAT, chatBody("x", { max_tokens: "9" }), 400, "Bad Request", "max_tokens"],
    ["max_tokens 0", CHAT, chatBody("x", { max_tokens: 0 }), 400, "BadRequestError", "max_tokens"],
    ["max_tokens over the context", CHAT, chatBody("x", { max_tokens: 9999 }), 400, "BadRequestError", "max_tokens"],
    ["prompt over the context", CHAT, chatBody(long), 400, "BadRequestError", "input_tokens"],
    [
      "stream_options without stream",
      CHAT,
      chatBody("x", { stream_options: {} }),
      400,
      "BadRequestError",
      "stream_options",
    ],
    ["n with greedy sampling", CHAT, chatBody("x", { n: 2, temperature: 0 }), 400, "BadRequestError", "n"],
    ["temperature below 0", CHAT, chatBody("x", { temperature: -1 }), 400, "BadRequestError", "temperature"],
    [
      "tool_choice without tools",
      CHAT,
      chatBody("x", { tool_choice: "required" }),
      400,
      "BadRequestError",
      "tool_choice",
    ],
    ["prompt of the wrong type", "/v1/completions", { prompt: 7 }, 400, "Bad Request", "prompt"],
    [
      "embedding format",
      "/v1/embeddings",
      { input: "x", encoding_format: "hex" },
      400,
      "Bad Request",
      "encoding_format",
    ],
    ["unknown path", "/v1/nothing", {}, 404, "Not Found", null],
    ["prototype path", "/__proto__", {}, 404, "Not Found", null],
    ["wrong method", "/v1/models", {}, 405, "Method Not Allowed", null],
  ])("%s", async (_name, path, body, status, type, param) => {
    const host = await hostFor();
    const refused = await ask(host, path, body);
    expect(refused.status).toBe(status);
    expect(Object.keys(refused.json.error)).toEqual(["message", "type", "param", "code"]);
    expect(refused.json.error).toMatchObject({ type, param, code: status });
    expect(await truthOf(host)).toEqual([]);
  });
});

describe("responses", () => {
  const clientOf = ({ url }: { readonly url: string }) =>
    new OpenAI({ apiKey: "none", baseURL: `${url}/v1`, maxRetries: 0 });

  test("the official client reads the stream, and finds in it what the whole answer says", async () => {
    const host = await hostFor();
    const asked = { model: "llama", input: "hi [[tokens=4]]", instructions: "be brief", temperature: 0 };
    const whole = await clientOf(host).responses.create(asked);
    const stream = clientOf(host).responses.stream(asked);
    const types: string[] = [];
    for await (const { type } of stream) types.push(type);
    expect(types.at(-1)).toBe("response.completed");
    const streamed = await stream.finalResponse();
    expect(streamed).toMatchObject({
      status: "completed",
      output_text: whole.output_text,
      usage: { output_tokens: 4 },
    });
    expect(whole.usage).toMatchObject({
      input_tokens: streamed.usage?.input_tokens,
      output_tokens: 4,
      total_tokens: (streamed.usage?.input_tokens ?? 0) + 4,
    });
    expect(await truthOf(host)).toMatchObject([
      { completionTokens: 4, ended: "stop" },
      { completionTokens: 4, ended: "stop" },
    ]);
  });

  test("events are named and numbered, and none says [DONE]", async () => {
    const { text } = await ask(await hostFor(), "/v1/responses", { input: "hi [[tokens=2]]", stream: true });
    const events = text.split("\n\n").slice(0, -1);
    expect(events.length).toBeGreaterThan(8);
    for (const [at, event] of events.entries()) {
      const [, name, data = ""] = event.match(/^event: (.+)\ndata: (.+)$/) ?? [];
      expect(JSON.parse(data)).toMatchObject({ type: name, sequence_number: at });
    }
  });

  test("a bound on tokens leaves it incomplete, also where the last event has its usual name", async () => {
    const asked = { model: "llama", input: "hi [[tokens=9]]", max_output_tokens: 3 };
    const host = await hostFor();
    const cut = {
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      usage: { output_tokens: 3 },
    };
    expect(await clientOf(host).responses.create(asked)).toMatchObject(cut);
    expect(await clientOf(host).responses.stream(asked).finalResponse()).toMatchObject(cut);
  });

  test("a demanded call, and its output in the next question", async () => {
    const client = clientOf(await hostFor());
    const parameters = { type: "object", properties: { city: { type: "string" } } };
    const tools = [{ type: "function" as const, name: "weather", parameters, strict: null }];
    const stream = client.responses.stream({ model: "llama", input: "the weather?", tools, tool_choice: "required" });
    const [call] = (await stream.finalResponse()).output;
    expect(call).toMatchObject({ type: "function_call", name: "weather", arguments: '{"city":"lab"}' });
    if (call?.type !== "function_call") throw new Error("no call");
    const input = [call, { type: "function_call_output" as const, call_id: call.call_id, output: "sun [[echo]]" }];
    expect((await client.responses.create({ model: "llama", input, tools })).status).toBe("completed");
  });

  test.each([
    { name: "no input", body: {}, param: "input" },
    { name: "a wrong input", body: { input: 3 }, param: "input" },
  ])("$name is refused", async ({ body, param }) => {
    const { status, json } = await ask(await hostFor(), "/v1/responses", body);
    expect({ status, error: json.error }).toMatchObject({ status: 400, error: { param } });
  });

  test("an engine that breaks down says so", async () => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind: "error-event", afterTokens: 2 });
    const { text } = await ask(host, "/v1/responses", { input: "hi", stream: true });
    expect(text.split("\n\n").at(-2)).toMatch(/^event: response.failed\n/);
  });
});

describe("rerank, tokenize and transcriptions", () => {
  const query = { model: "llama", query: "cats purr", documents: ["dogs", "cats purr", "cats"] };

  test("the best first, no more than top_n, with the texts and the usage", async () => {
    const host = await hostFor();
    const { json } = await ask<Ranked>(host, "/v1/rerank", { ...query, top_n: 2 });
    expect(json).toMatchObject({ id: expect.stringMatching(/^rerank-/), model: "llama" });
    expect(json.results.map(({ index }) => index)).toEqual([1, 2]);
    expect(json.results[0]).toEqual({
      index: 1,
      document: { text: "cats purr", multi_modal: null },
      relevance_score: expect.any(Number),
    });
    // Each text is read with the query before it, and a line between them.
    expect(json.usage).toEqual({ prompt_tokens: 3 * 3 + 4, total_tokens: 3 * 3 + 4 });
    expect((await truthOf(host)).at(-1)).toMatchObject({ promptTokens: 13, completionTokens: 0, ended: "stop" });
    expect((await ask(host, "/v1/rerank", { query: "x" })).status).toBe(400);
  });

  test("tokens by their texts where they are asked for", async () => {
    const host = await hostFor();
    const { json } = await ask<Record<string, unknown>>(host, "/tokenize", {
      prompt: "one two",
      return_token_strs: true,
    });
    expect(json).toMatchObject({ count: 2, token_strs: ["one", " two"] });
  });

  const form = (fields: Record<string, string>, isSpoken = true): FormData => {
    const said = new FormData();
    for (const [name, value] of Object.entries({ model: "llama", ...fields })) said.set(name, value);
    if (isSpoken) said.set("file", new File([Buffer.alloc(64_000, "x")], "a.wav", { type: "audio/wav" }));
    return said;
  };
  const transcribe = async (host: LabHost, body: FormData) => {
    const response = await fetch(`${host.url}/v1/audio/transcriptions`, { method: "POST", body });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  };

  test("a recording is heard alike every time, whole and in segments", async () => {
    const host = await hostFor();
    const { json } = await transcribe(host, form({}));
    expect(json).toEqual({ text: expect.stringMatching(/^ \w/), usage: { type: "duration", seconds: 2 } });
    const { json: verbose } = await transcribe(host, form({ response_format: "verbose_json", language: "de" }));
    expect(verbose).toMatchObject({ text: json.text, duration: "2", language: "de" });
    const segments = verbose.segments as { start: number; end: number; text: string }[];
    expect(segments.map(({ text }) => text).join("")).toBe(json.text);
    expect([segments[0]?.start, segments.at(-1)?.end]).toEqual([0, 2]);
    expect((await transcribe(host, form({ prompt: "another" }))).json.text).not.toBe(json.text);
  });

  test.each([
    { name: "no file", body: form({}, false), status: 400 },
    { name: "subtitles", body: form({ response_format: "srt" }), status: 400 },
    { name: "a model that is not there", body: form({ model: "x" }), status: 404 },
  ])("refused: $name", async ({ body, status }) => {
    expect((await transcribe(await hostFor(), body)).status).toBe(status);
  });

  test("what was sent is noted without its bytes", async () => {
    const host = await hostFor();
    await transcribe(host, form({}));
    const requests = (await ask<{ body: unknown }[]>(host, "/lab/requests")).json;
    expect(requests.at(-1)?.body).toEqual({
      model: "llama",
      file: { name: "a.wav", type: "audio/wav", bytes: 64_000 },
    });
  });
});

test.each([
  { salt: "a".repeat(43), status: 200 },
  { salt: "", status: 400 },
  { salt: 5, status: 400 },
  { salt: "a/b", status: 400 },
  { salt: "a".repeat(129), status: 400 },
])("cache_salt $salt: $status", async ({ salt, status }) => {
  const asked = await ask(await hostFor(), CHAT, chatBody("hi [[tokens=1]]", { cache_salt: salt }));
  expect(asked.status).toBe(status);
});
