import OpenAI from "openai";
import type { ResponseInputItem } from "openai/resources/responses/responses";
import { describe, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { clearFaults, clientOf, lastRequestId, rowOf, setFault, truthOf } from "./world.ts";

const MODEL = "llama-3.1-8b";
const say = (text: string) => [{ role: "user" as const, content: text }];

describe("the official client gets answers", () => {
  test("chat", async () => {
    const { data, response, request_id } = await clientOf("default")
      .chat.completions.create({ model: MODEL, messages: say("chat [[tokens=12]]"), temperature: 1 })
      .withResponse();
    expect(data.object).toBe("chat.completion");
    expect(data.choices[0]?.finish_reason).toBe("stop");
    expect(data.usage?.completion_tokens).toBe(12);
    expect(response.headers.get("x-causeway-host")).toBe("gpu");
    expect(request_id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("chat, streamed: the same text, and no usage chunk that was not asked for", async () => {
    const client = clientOf("default");
    const messages = say("the same question [[tokens=20]]");
    const whole = await client.chat.completions.create({ model: MODEL, messages, temperature: 0 });
    const stream = await client.chat.completions.create({ model: MODEL, messages, temperature: 0, stream: true });
    let text = "";
    const reasons: string[] = [];
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1);
      expect(chunk.usage ?? null).toBeNull();
      text += chunk.choices[0]?.delta.content ?? "";
      const reason = chunk.choices[0]?.finish_reason;
      if (reason != null) reasons.push(reason);
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(reasons).toEqual(["stop"]);
  });

  test("chat, streamed, with the usage that was asked for", async () => {
    const stream = await clientOf("default").chat.completions.create({
      model: MODEL,
      messages: say("usage [[tokens=7]]"),
      stream: true,
      stream_options: { include_usage: true },
    });
    const usages = [];
    for await (const chunk of stream)
      if (chunk.usage != null) usages.push({ choices: chunk.choices.length, ...chunk.usage });
    expect(usages).toHaveLength(1);
    expect(usages[0]).toMatchObject({ choices: 0, completion_tokens: 7 });
  });

  test("completions, whole and streamed", async () => {
    const client = clientOf("default");
    const ask = { model: MODEL, prompt: "once upon a time [[tokens=9]]", temperature: 0 };
    const whole = await client.completions.create(ask);
    let text = "";
    for await (const chunk of await client.completions.create({ ...ask, stream: true }))
      text += chunk.choices[0]?.text ?? "";
    expect(whole.usage?.completion_tokens).toBe(9);
    expect(text).toBe(whole.choices[0]?.text);
  });

  test("embeddings", async () => {
    const answer = await clientOf("default").embeddings.create({ model: "bge-small-en-v1.5", input: ["one", "two"] });
    expect(answer.data.map(({ index }) => index)).toEqual([0, 1]);
    expect(answer.data[0]?.embedding.length).toBeGreaterThan(8);
    expect(answer.usage.prompt_tokens).toBeGreaterThan(0);
  });

  test("the list of models, and one of them", async () => {
    const client = clientOf("default");
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toContain(MODEL);
    expect(ids).toContain("phi-3-mini");
    expect(await client.models.retrieve(MODEL)).toMatchObject({ id: MODEL, object: "model" });
  });

  test("an API key opens the same door", async () => {
    const { data, response } = await clientOf("apiKey")
      .chat.completions.create({ model: MODEL, messages: say("key [[tokens=3]]"), temperature: 1 })
      .withResponse();
    expect(data.usage?.completion_tokens).toBe(3);
    expect((await rowOf(response.headers.get("x-request-id") ?? "")).user_id).toBe("local-key");
  });

  test("tool calls arrive whole through a stream", async () => {
    const stream = clientOf("default").chat.completions.stream({
      model: MODEL,
      messages: say("the weather, please"),
      tools: [
        {
          type: "function",
          function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
        },
      ],
      tool_choice: "required",
    });
    const [call] = (await stream.finalChatCompletion()).choices[0]?.message.tool_calls ?? [];
    expect(call).toMatchObject({ type: "function", function: { name: "weather" } });
    expect(() => JSON.parse(call?.type === "function" ? call.function.arguments : "")).not.toThrow();
  });

  test("n answers", async () => {
    const answer = await clientOf("default").chat.completions.create({
      model: MODEL,
      messages: say("two [[tokens=4]]"),
      n: 2,
    });
    expect(answer.choices.map(({ index }) => index)).toEqual([0, 1]);
  });
});

describe("the official client gets responses, translated for hosts that have only chat", () => {
  test.each([
    { model: MODEL, host: "gpu" },
    { model: "phi-3-mini", host: "cpu-phi3" },
  ])("$model: one text whole and streamed, counted to the token, and in the ledger", async ({ model, host }) => {
    const client = clientOf("default");
    const asked = { model, instructions: "be brief", input: `a response of ${model} [[tokens=11]]`, temperature: 0 };
    const { data: whole, response } = await client.responses.create(asked).withResponse();
    const stream = client.responses.stream(asked);
    const types: string[] = [];
    for await (const { type } of stream) types.push(type);
    const streamed = await stream.finalResponse();
    expect(whole.output_text.length).toBeGreaterThan(10);
    expect(streamed.output_text).toBe(whole.output_text);
    expect([types[0], types.at(-1)]).toEqual(["response.created", "response.completed"]);
    const requestId = response.headers.get("x-request-id") ?? "";
    const truth = await truthOf(host, requestId);
    const counts = { input_tokens: truth?.promptTokens, output_tokens: 11 };
    expect(whole.usage).toMatchObject(counts);
    expect(streamed.usage).toMatchObject(counts);
    expect(await rowOf(requestId)).toMatchObject({
      outcome: "complete",
      prompt_tokens: truth?.promptTokens,
      completion_tokens: 11,
    });
  });

  test("a call, its output, and the answer", async () => {
    const client = clientOf("default");
    const parameters = { type: "object", properties: { city: { type: "string" } } };
    const tools = [{ type: "function" as const, name: "weather", parameters, strict: false }];
    const input: ResponseInputItem[] = [{ role: "user", content: "the weather, please" }];
    const first = await client.responses
      .stream({ model: MODEL, input, tools, tool_choice: "required" })
      .finalResponse();
    const [call] = first.output.filter((item) => item.type === "function_call");
    if (call === undefined) throw new Error("there is no call");
    expect(JSON.parse(call.arguments)).toEqual({ city: "lab" });
    // Only the user's words are a directive to the lab.
    input.push(call, { type: "function_call_output", call_id: call.call_id, output: "sunny" });
    input.push({ role: "user", content: "so? [[tokens=6]]" });
    const second = await client.responses.create({ model: MODEL, input, tools, tool_choice: "none" });
    expect(second).toMatchObject({ status: "completed", usage: { output_tokens: 6 } });
  });

  test("a form by schema is kept to, and parsed", async () => {
    const schema = {
      type: "object",
      properties: { n: { type: "integer" } },
      required: ["n"],
      additionalProperties: false,
    };
    const format = { type: "json_schema" as const, name: "number", schema, strict: true };
    const parsed = await clientOf("default").responses.parse({ model: MODEL, input: "a number", text: { format } });
    expect(parsed.output_parsed).toEqual({ n: 42 });
  });

  test.each(["cut-after", "cut-inside", "fin-after", "garbage", "error-event"])(
    "a stream that its host ends by %s is an error that the client throws",
    async (kind) => {
      await setFault("gpu", { kind, afterTokens: 3, times: 1 });
      try {
        const asked = { model: "llama-3.1-70b", input: "a story [[tokens=40]]", temperature: 1 };
        const stream = clientOf("default").responses.stream(asked);
        const types: string[] = [];
        const thrown: unknown = await (async () => {
          for await (const { type } of stream) types.push(type);
        })().catch((reason: unknown) => reason);
        expect(types).toContain("response.output_text.delta");
        expect(types).not.toContain("response.completed");
        expect(thrown).toBeInstanceOf(OpenAI.APIError);
        expect(thrown).toMatchObject({ code: "upstream_error" });
      } finally {
        await clearFaults("gpu");
      }
    },
  );

  test("leaving stops the host", async () => {
    const asked = { model: MODEL, input: "a long story [[tokens=4000]]", stream: true as const };
    const { data: stream, request_id: id } = await clientOf("premium").responses.create(asked).withResponse();
    let seen = 0;
    for await (const { type } of stream) {
      if (type === "response.output_text.delta") seen++;
      if (seen === 20) break;
    }
    const aborted = async () => {
      const truth = await truthOf("gpu", id ?? "");
      return truth?.ended === "aborted" ? truth : undefined;
    };
    const truth = await eventually(aborted, "the host has not noticed");
    expect(truth.completionTokens).toBeGreaterThanOrEqual(20);
    expect(truth.completionTokens).toBeLessThan(200);
    expect(await rowOf(id ?? "")).toMatchObject({ outcome: "client_left", estimated: false });
  });
});

describe("the official client gets errors of the right class", () => {
  test.each([
    { name: "no valid token", as: "nobody", ask: {}, error: OpenAI.AuthenticationError, code: "invalid_api_key" },
    {
      name: "a role without inference",
      as: "monitoring",
      ask: {},
      error: OpenAI.PermissionDeniedError,
      code: "insufficient_permissions",
    },
    {
      name: "an unknown model",
      as: "default",
      ask: { model: "gpt-9" },
      error: OpenAI.NotFoundError,
      code: "model_not_found",
    },
    {
      name: "a wrong field",
      as: "default",
      ask: { temperature: 3 },
      error: OpenAI.BadRequestError,
      code: "invalid_value",
    },
    {
      name: "an embedding model",
      as: "default",
      ask: { model: "bge-small-en-v1.5" },
      error: OpenAI.BadRequestError,
      code: "unsupported_value",
    },
    {
      name: "a field that is not the caller's to set",
      as: "default",
      ask: { priority: 1 },
      error: OpenAI.BadRequestError,
      code: "unsupported_value",
    },
  ] as const)("$name", async ({ as, ask, error, code }) => {
    const client = as === "nobody" ? clientOf("default").withOptions({ apiKey: "no.such.token" }) : clientOf(as);
    const failing = client.chat.completions.create({ model: MODEL, messages: say("hello"), ...ask });
    const thrown = await failing.then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(thrown).toBeInstanceOf(error);
    expect(thrown).toMatchObject({ code, requestID: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  });

  // 9,000 words fit no context of 4,096 tokens, whatever the tokenizer; 1,300 words of 56 letters might.
  test.each([
    { name: "as the gateway can tell", prompt: "word ".repeat(9_000), hosts: 0 },
    {
      name: "as only the host can tell",
      prompt: `${"antidisestablishmentarianism".repeat(2)} `.repeat(1_300),
      hosts: 1,
    },
  ])("a prompt too long for the context, $name", async ({ prompt, hosts }) => {
    const failing = clientOf("premium").completions.create({ model: "phi-3-mini", prompt });
    const thrown: unknown = await failing.catch((reason: unknown) => reason);
    expect(thrown).toBeInstanceOf(OpenAI.BadRequestError);
    expect(thrown).toMatchObject({ code: "context_length_exceeded", type: "invalid_request_error" });
    const { requestID } = thrown as InstanceType<typeof OpenAI.BadRequestError>;
    expect(await lastRequestId("cpu-phi3")).toEqual(
      hosts === 0 ? expect.not.stringMatching(requestID ?? "-") : requestID,
    );
  });
});

test("leaving in the middle of a stream stops the host, and the ledger says what was made", async () => {
  const { data: stream, response } = await clientOf("premium")
    .chat.completions.create({ model: MODEL, messages: say("a long story [[tokens=4000]]"), stream: true })
    .withResponse();
  let seen = 0;
  for await (const _chunk of stream) {
    seen++;
    if (seen === 20) break;
  }
  const requestId = response.headers.get("x-request-id") ?? "";
  const row = await rowOf(requestId);
  const truth = await truthOf("gpu", requestId);
  expect(truth?.ended).toBe("aborted");
  expect(row).toMatchObject({ outcome: "client_left", estimated: false, prompt_tokens: truth?.promptTokens });
  // The client has seen 19 tokens and a role; what was on its way when it left, the host has made as well.
  expect(row.completion_tokens).toBeGreaterThanOrEqual(19);
  expect(row.completion_tokens).toBeLessThanOrEqual(truth?.completionTokens ?? 0);
  expect(truth?.completionTokens).toBeLessThan(200);
});
