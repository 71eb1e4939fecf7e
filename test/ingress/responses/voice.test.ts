import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { responsesQuestion } from "#src/ingress/responses/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { EventSplitter, fieldsOf } from "#src/sse.ts";
import { BrokenStream } from "#src/upstream/answer-stream.ts";
import type { Voice } from "#src/upstream/voice.ts";
import { cuts, joined, textOf, utf8 } from "#test/sse/chunking.ts";
import { dialect, NOW_MS, REQUEST_ID } from "#test/upstream/asked.ts";
import { ENGINES, native, PROMPT_TOKENS, steps, TRICKY, wire } from "#test/upstream/transcripts.ts";

const KEY = REQUEST_ID.replaceAll("-", "");
const CREATED_S = Math.floor(NOW_MS / 1_000);

const ask = (more: JsonObject = {}) =>
  responsesQuestion({ model: "m", input: "hi", stream: true, ...more }, REQUEST_ID, CREATED_S);
const voice = (more: JsonObject = {}): Voice => ask(more).wording.voice();

type Told = { readonly type: string; readonly sequence_number: number; readonly [member: string]: unknown };

/** The events of what was said; each is named as its type is. */
function told(...said: (Uint8Array | null)[]): Told[] {
  const bytes = joined(said.filter((part) => part !== null));
  return [...new EventSplitter().push(bytes)].map((event) => {
    const { name, data } = fieldsOf(event);
    const document = JSON.parse(data ?? "") as Told;
    expect(document.type).toBe(name);
    return document;
  });
}

const chunk = (delta: object, more: object = {}, beside: object = {}): string =>
  `data: ${JSON.stringify({ model: "org/m", choices: [{ index: 0, delta, finish_reason: null, ...more }], ...beside })}\n\n`;
const finish = (reason: string): string => chunk({}, { finish_reason: reason });
const USAGE = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };
const counted = `data: ${JSON.stringify({ choices: [], usage: USAGE })}\n\n`;
const DONE = "data: [DONE]\n\n";

const sayAll = (...events: string[]): Told[] => told(voice().say(utf8(events.join(""))));

/** The events in short: type, and what is new in it. */
const short = ({ type, delta, text, refusal, arguments: given, item, part }: Told): string =>
  [type.replace("response.", ""), delta ?? text ?? refusal ?? given ?? kindOf(item) ?? kindOf(part) ?? ""].join(" ");
const kindOf = (value: unknown): unknown => (value as { type?: unknown } | undefined)?.type;

describe("what a model does, told event by event", () => {
  const begun = ["created ", "in_progress "];
  const message = (...pieces: string[]) => [
    "output_item.added message",
    "content_part.added output_text",
    ...pieces.map((piece) => `output_text.delta ${piece}`),
    `output_text.done ${pieces.join("")}`,
    "content_part.done output_text",
    "output_item.done message",
  ];
  const thought = (text: string) => [
    "output_item.added reasoning",
    "content_part.added reasoning_text",
    `reasoning_text.delta ${text}`,
    `reasoning_text.done ${text}`,
    "content_part.done reasoning_text",
    "output_item.done reasoning",
  ];
  const call = (index: number, id: string | undefined, name: string | undefined, given: string) =>
    chunk({ tool_calls: [{ index, id, type: "function", function: { name, arguments: given } }] });

  test.each<{ name: string; said: string[]; events: string[] }>([
    {
      name: "a text",
      said: [chunk({ role: "assistant", content: "" }), chunk({ content: "he" }), chunk({ content: "llo" })],
      events: message("he", "llo"),
    },
    {
      name: "a text with its end in the last piece's event",
      said: [chunk({ content: "hi" }, { finish_reason: "stop" })],
      events: message("hi"),
    },
    { name: "nothing: an empty message", said: [chunk({ role: "assistant", content: "" })], events: message() },
    {
      name: "thoughts, as llama.cpp names them, then a text",
      said: [chunk({ reasoning_content: "hm" }), chunk({ content: "hi" })],
      events: [...thought("hm"), ...message("hi")],
    },
    {
      name: "thoughts, as vLLM names them, also beside an empty content",
      said: [chunk({ reasoning: "hm", reasoning_content: null, content: "" }), chunk({ content: "hi" })],
      events: [...thought("hm"), ...message("hi")],
    },
    {
      name: "thoughts under both names, once",
      said: [chunk({ reasoning: "hm", reasoning_content: "hm" }), chunk({ content: "hi" })],
      events: [...thought("hm"), ...message("hi")],
    },
    {
      name: "a refusal",
      said: [chunk({ refusal: "no" })],
      events: [
        "output_item.added message",
        "content_part.added refusal",
        "refusal.delta no",
        "refusal.done no",
        "content_part.done refusal",
        "output_item.done message",
      ],
    },
    {
      name: "words, a call whose arguments come in pieces, and words again",
      said: [
        chunk({ content: "so" }),
        call(0, "a", "f", ""),
        call(0, undefined, undefined, '{"x"'),
        call(0, "", undefined, ":1}"),
        chunk({ content: "done" }),
      ],
      events: [
        ...message("so"),
        "output_item.added function_call",
        'function_call_arguments.delta {"x"',
        "function_call_arguments.delta :1}",
        "output_item.added message",
        "content_part.added output_text",
        "output_text.delta done",
        'function_call_arguments.done {"x":1}',
        "output_item.done function_call",
        "output_text.done done",
        "content_part.done output_text",
        "output_item.done message",
      ],
    },
    {
      name: "two calls whose arguments come in turns",
      said: [
        call(0, "a", "f", "1"),
        call(1, "b", "g", "2"),
        call(0, "a", undefined, "1"),
        call(1, "b", undefined, "2"),
      ],
      events: [
        "output_item.added function_call",
        "function_call_arguments.delta 1",
        "output_item.added function_call",
        "function_call_arguments.delta 2",
        "function_call_arguments.delta 1",
        "function_call_arguments.delta 2",
        "function_call_arguments.done 11",
        "output_item.done function_call",
        "function_call_arguments.done 22",
        "output_item.done function_call",
      ],
    },
    {
      name: "two calls of a service that numbers none",
      said: ["a", "b"].map((id) => chunk({ tool_calls: [{ id, function: { name: "f", arguments: id } }] })),
      events: [
        "output_item.added function_call",
        "function_call_arguments.delta a",
        "output_item.added function_call",
        "function_call_arguments.delta b",
        "function_call_arguments.done a",
        "output_item.done function_call",
        "function_call_arguments.done b",
        "output_item.done function_call",
      ],
    },
  ])("$name", ({ said, events }) => {
    const all = sayAll(...said, finish("stop"), counted, DONE);
    expect(all.map(short)).toEqual([...begun, ...events, "completed "]);
    expect(all.map(({ sequence_number }) => sequence_number)).toEqual(all.map((_, at) => at));
    const { response } = all.at(-1) as unknown as { response: { output: unknown[]; usage: unknown } };
    expect(response.output).toEqual(
      all.filter(({ type }) => type === "response.output_item.done").map(({ item }) => item),
    );
    expect(response.usage).toEqual({
      input_tokens: 5,
      input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
      output_tokens: 2,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 7,
    });
  });

  test("each item has an id and a place of its own, which all its events name", () => {
    const all = sayAll(
      chunk({ reasoning: "a" }),
      chunk({ content: "b" }),
      call(0, "", "f", "{}"),
      finish("stop"),
      DONE,
    );
    const ids = all.filter(({ type }) => type === "response.output_item.added").map(({ item }) => item);
    expect(ids).toMatchObject([
      { id: `rs_${KEY}_0`, status: "in_progress" },
      { id: `msg_${KEY}_1`, status: "in_progress", content: [] },
      { id: `fc_${KEY}_2`, status: "in_progress", call_id: `call_${KEY}_2`, arguments: "" },
    ]);
    for (const event of all.filter(({ item_id }) => item_id !== undefined)) {
      expect(String(event.item_id).endsWith(`_${KEY}_${event.output_index}`)).toBe(true);
    }
  });

  test("probabilities go with their pieces, and together at the end", () => {
    const [one, two] = ["a", "b"].map((token) => ({ token, logprob: -1, bytes: [97], top_logprobs: [] }));
    const all = sayAll(
      chunk({ content: "a" }, { logprobs: { content: [one] } }),
      chunk({ content: "b" }, { logprobs: { content: [two] } }),
      finish("stop"),
      DONE,
    );
    const of = (type: string) => all.filter((event) => event.type === type).map(({ logprobs }) => logprobs);
    expect(of("response.output_text.delta")).toEqual([[one], [two]]);
    expect(of("response.output_text.done")).toEqual([[one, two]]);
  });

  test("usage beside a choice counts too; a host that tells none leaves null", () => {
    const last = (events: Told[]) => (events.at(-1) as Told & { response: { usage: unknown } }).response.usage;
    const details = { cached_tokens: 3 };
    const usage = { ...USAGE, prompt_tokens_details: details, completion_tokens_details: { reasoning_tokens: 1 } };
    expect(last(sayAll(chunk({ content: "a" }), chunk({}, { finish_reason: "stop" }, { usage }), DONE))).toMatchObject({
      input_tokens_details: details,
      output_tokens_details: { reasoning_tokens: 1 },
    });
    expect(last(sayAll(chunk({ content: "a" }), finish("stop"), DONE))).toBeNull();
  });
});

describe("how it ends", () => {
  test.each([
    { reason: "stop", type: "response.completed", status: "completed", why: null },
    { reason: "tool_calls", type: "response.completed", status: "completed", why: null },
    { reason: "length", type: "response.incomplete", status: "incomplete", why: { reason: "max_output_tokens" } },
    { reason: "content_filter", type: "response.incomplete", status: "incomplete", why: { reason: "content_filter" } },
  ])("$reason", ({ reason, type, status, why }) => {
    const last = sayAll(chunk({ content: "a" }), finish(reason), counted, DONE).at(-1);
    expect(last).toMatchObject({ type, response: { status, incomplete_details: why, output: [{ status }] } });
  });

  test("of several calls only the last was cut short", () => {
    const calls = ["a", "b"].map((id, index) =>
      chunk({ tool_calls: [{ index, id, function: { name: "f", arguments: "{" } }] }),
    );
    const last = sayAll(...calls, finish("length"), DONE).at(-1);
    expect(last).toMatchObject({ response: { output: [{ status: "completed" }, { status: "incomplete" }] } });
  });

  test("a problem: one event, numbered on, that the clients of either kind find their members in", () => {
    const speaking = voice();
    const begun = told(speaking.say(utf8(chunk({ content: "a" }))));
    const problem = new Problem("upstream_error", { message: "gone", param: "max_completion_tokens" });
    const members = { code: "upstream_error", message: "gone", param: "max_output_tokens" };
    expect(told(speaking.fail(problem))).toEqual([
      { type: "error", sequence_number: begun.length, ...members, error: { type: "server_error", ...members } },
    ]);
  });

  test("a problem before anything was said, or behind what a host said in these words itself", () => {
    expect(told(voice().fail(new Problem("total_timeout")))).toMatchObject([{ type: "error", sequence_number: 0 }]);
    const passedBy = voice();
    passedBy.heard?.(utf8(': ping\n\nevent: a\ndata: {"type":"a"}\n\nevent: b\ndata: {"type":"b"}\n\n'));
    expect(told(passedBy.fail(new Problem("upstream_error")))).toMatchObject([{ sequence_number: 2 }]);
  });

  test.each([
    { name: "an end before a beginning", said: DONE },
    { name: "no JSON", said: "data: {\n\n" },
    {
      name: "a call without a name",
      said: chunk({ tool_calls: [{ index: 0, id: "a", function: { arguments: "" } }] }),
    },
  ])("makes no sense: $name", ({ said }) => {
    expect(() => voice().say(utf8(said))).toThrow(BrokenStream);
  });

  test("comments pass; events that tell nothing are not told", () => {
    const speaking = voice();
    expect(textOf(speaking.say(utf8(": seam\n\n")) ?? utf8("nothing"))).toBe(": seam\n\n");
    expect(speaking.say(utf8('data: {"choices":[]}\n\n'))).toBeNull();
  });
});

const NATIVE = { name: "llama.cpp native", engine: "llamacpp" as const, shape: () => native(true) };
const CHATS = [...ENGINES.filter(({ route, n }) => route === "chat" && n === undefined), NATIVE];

describe.each(CHATS)("$name, through the whole way", ({ name, engine, shape }) => {
  const asked = ask();
  const host = name === NATIVE.name ? { engine, native: true } : { engine };
  const bytes = utf8(wire(steps(shape({ include: true, continuous: engine === "vllm", timings: true }))));
  /** The answer's events when its bytes come in these pieces, and the events in these. */
  const through = (chunks: readonly Uint8Array[]): Told[] => {
    const stream = dialect(host, asked).stream();
    const speaking = asked.wording.voice();
    const said = chunks.map((piece) => stream.push(piece)).map((out) => (out === null ? null : speaking.say(out)));
    expect(stream.broken).toBeNull();
    return told(...said);
  };
  const whole = through([bytes]);

  test("it says what the engine said, and ends with what it cost", () => {
    const text = whole.map(({ delta }) => delta ?? "").join("");
    expect(text).toBe(TRICKY);
    expect(whole.at(-1)).toMatchObject({
      type: "response.completed",
      response: { status: "completed", usage: { input_tokens: PROMPT_TOKENS } },
    });
  });

  test("however it is cut, the events are the same", () => {
    fc.assert(
      fc.property(cuts, (cut) => {
        expect(through(cut(bytes))).toEqual(whole);
      }),
      { numRuns: 150 },
    );
  });
});

test("an answer is the same response whether it came whole or in pieces", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 20 });
  const call = fc.record({ name: fc.constantFrom("f", "g"), arguments: text });
  const answers = fc.record({
    thought: text,
    content: text,
    calls: fc.array(call, { maxLength: 3 }),
    reason: fc.constantFrom("stop", "length", "tool_calls"),
    size: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(answers, ({ thought, content, calls, reason, size }) => {
      const tool_calls = calls.map((made, at) => ({ id: `c${at}`, type: "function", function: made }));
      const message = { role: "assistant", reasoning_content: thought, content, tool_calls };
      const choices = [{ index: 0, message, finish_reason: reason }];
      const once = ask().wording.whole({ model: "org/m", choices, usage: USAGE });
      const said = [
        chunk({ role: "assistant" }),
        ...inPieces(thought, size).map((reasoning_content) => chunk({ reasoning_content })),
        ...inPieces(content, size).map((piece) => chunk({ content: piece })),
        ...calls.flatMap((made, index) => [
          chunk({ tool_calls: [{ index, id: `c${index}`, function: { name: made.name, arguments: "" } }] }),
          ...inPieces(made.arguments, size).map((piece) =>
            chunk({ tool_calls: [{ index, function: { arguments: piece } }] }),
          ),
        ]),
      ];
      expect(sayAll(...said, finish(reason), counted, DONE).at(-1)?.response).toEqual(once);
    }),
  );

  function inPieces(of: string, size: number): string[] {
    return Array.from({ length: Math.ceil(of.length / size) }, (_, at) => of.slice(at * size, (at + 1) * size));
  }
});

test("a response repeats what was asked for, and says what is not done here", () => {
  const asked = {
    instructions: "be brief",
    metadata: { a: "b" },
    temperature: 0.5,
    tools: [{ type: "function", name: "f" }],
    tool_choice: "auto",
    text: { verbosity: "low" },
    reasoning: { effort: "low" },
    store: true,
    truncation: "auto",
    user: "u",
  };
  const choices = [{ index: 0, message: { content: "hi" }, finish_reason: "stop" }];
  expect(ask(asked).wording.whole({ model: "org/m", choices, usage: USAGE })).toMatchObject({
    ...asked,
    text: { format: { type: "text" }, verbosity: "low" },
    reasoning: { effort: "low", summary: null },
    id: `resp_${KEY}`,
    created_at: CREATED_S,
    model: "org/m",
    store: false,
    truncation: "disabled",
    background: false,
    error: null,
    top_p: null,
    max_output_tokens: null,
  });
});
