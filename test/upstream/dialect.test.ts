import { describe, expect, test } from "vitest";
import { NativeStream } from "#src/upstream/native-stream.ts";
import { utf8 } from "#test/sse/chunking.ts";
import { dialect, NOW_MS, problemOf, question, REQUEST_ID } from "./asked.ts";

const VLLM = { engine: "vllm" };
const LLAMA = { engine: "llamacpp" };
const NATIVE = { engine: "llamacpp", native: true };
const messages = [{ role: "user", content: "hi" }];

describe("what is asked of a host", () => {
  test.each([
    {
      name: "the model's name there, all else as it came",
      host: VLLM,
      more: { top_k: 3, user: "u" },
      body: { model: "org/m", messages, top_k: 3, user: "u" },
    },
    {
      name: "vLLM's stream: usage, and with every chunk",
      host: VLLM,
      more: { stream: true },
      body: {
        model: "org/m",
        messages,
        stream: true,
        stream_options: { include_usage: true, continuous_usage_stats: true },
      },
    },
    {
      name: "llama.cpp's stream: usage, and timings with every chunk",
      host: LLAMA,
      more: { stream: true },
      body: {
        model: "org/m",
        messages,
        stream: true,
        stream_options: { include_usage: true },
        timings_per_token: true,
      },
    },
    {
      name: "stream options of the caller's that say otherwise",
      host: VLLM,
      more: { stream: true, stream_options: { include_usage: false, continuous_usage_stats: false, other: 1 } },
      body: {
        model: "org/m",
        messages,
        stream: true,
        stream_options: { include_usage: true, continuous_usage_stats: true, other: 1 },
      },
    },
    {
      name: "stream options of null",
      host: LLAMA,
      more: { stream: true, stream_options: null, timings_per_token: false },
      body: {
        model: "org/m",
        messages,
        stream: true,
        stream_options: { include_usage: true },
        timings_per_token: true,
      },
    },
    { name: "no stream, no stream options", host: LLAMA, more: {}, body: { model: "org/m", messages } },
  ])("$name", ({ host, more, body }) => {
    expect(dialect(host, question("chat", more)).body).toEqual(body);
  });

  test.each([
    { name: "vLLM", host: VLLM, route: "chat", salt: { cache_salt: "s" } },
    { name: "vLLM", host: VLLM, route: "completions", salt: { cache_salt: "s" } },
    { name: "vLLM, embeddings", host: VLLM, route: "embeddings", salt: { cache_salt: "s" } },
    { name: "a vLLM that does not know it", host: { ...VLLM, cacheSalt: false }, route: "chat", salt: {} },
    { name: "llama.cpp", host: LLAMA, route: "chat", salt: {} },
    { name: "native llama.cpp", host: NATIVE, route: "chat", salt: {} },
    { name: "a service", host: { engine: "openai" }, route: "chat", salt: {} },
  ] as const)("whose prefixes are shared with whom: $name", ({ host, route, salt }) => {
    const { body } = dialect(host, { ...question(route), cacheSalt: "s" });
    expect("cache_salt" in body ? { cache_salt: body.cache_salt } : {}).toEqual(salt);
  });

  test.each([
    { name: "vLLM", host: VLLM, route: "chat", path: "/v1/chat/completions" },
    { name: "vLLM", host: VLLM, route: "completions", path: "/v1/completions" },
    { name: "llama.cpp", host: LLAMA, route: "chat", path: "/v1/chat/completions" },
    { name: "llama.cpp", host: LLAMA, route: "completions", path: "/v1/completions" },
    { name: "native llama.cpp", host: NATIVE, route: "chat", path: "/completion" },
    { name: "native llama.cpp", host: NATIVE, route: "completions", path: "/completion" },
  ] as const)("$name, $route: $path", ({ host, route, path }) => {
    expect(dialect(host, question(route)).path).toBe(path);
  });

  test("embeddings", () => {
    const said = dialect(VLLM, question("embeddings"), {}, { kind: "embedding" });
    expect(said).toMatchObject({ path: "/v1/embeddings", body: { model: "org/m", input: "hi" }, answer: null });
  });
});

describe("a native host", () => {
  test.each([
    { name: "no context known", model: {}, bound: 4_096 },
    { name: "a small context", model: { context: 512 }, bound: 512 },
    { name: "a large context", model: { context: 131_072 }, bound: 4_096 },
  ])("is given a bound: $name", ({ model, bound }) => {
    expect(dialect(NATIVE, question("chat"), {}, model).body.n_predict).toBe(bound);
  });

  test("is asked in the model's template", () => {
    expect(dialect(NATIVE, question("chat"), { template: "llama3" }).body.prompt).toContain("<|start_header_id|>user");
  });

  test.each([
    { route: "chat", id: `chatcmpl-${REQUEST_ID}`, object: "chat.completion" },
    { route: "completions", id: `cmpl-${REQUEST_ID}`, object: "text_completion" },
  ] as const)("answers $route in OpenAI's shape, under the catalog's name", ({ route, id, object }) => {
    const created = Math.floor(NOW_MS / 1000);
    const answer = dialect(NATIVE, question(route)).answer?.({ content: "hey", stop_type: "eos" });
    expect(answer).toMatchObject({ id, object, created, model: "m" });
  });

  test("streams in OpenAI's shape", () => {
    const said = dialect(NATIVE, question("chat", { stream: true }));
    expect(said.stream()).toBeInstanceOf(NativeStream);
    expect(said.stream()).not.toBe(said.stream());
  });

  test("refuses what it cannot do", () => {
    expect(problemOf(() => dialect(NATIVE, question("chat", { n: 2 })))).toMatchObject({ facts: { param: "n" } });
  });
});

test("each stream is read by a reader of its own", () => {
  const said = dialect(VLLM, question("chat", { stream: true }));
  const [one, other] = [said.stream(), said.stream()];
  one.push(utf8('data: {"choices":[{"delta":{"content":"a"}}]}\n\n'));
  expect([one.hasContent, other.hasContent]).toEqual([true, false]);
});
