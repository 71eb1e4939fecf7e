// An answer that goes on at another host, asked for as each engine wants it: the joined text is that of the answer that
// nobody broke, byte for byte, wherever it was broken.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { answer } from "#scripts/lab/answer.ts";
import { Generation, type Limits } from "#scripts/lab/generation.ts";
import { chatPrompt as llamaPrompt } from "#scripts/lab/llamacpp/chat-prompt.ts";
import { ASSISTANT } from "#scripts/lab/template.ts";
import { countTokens } from "#scripts/lab/tokens.ts";
import { chatPrompt as vllmPrompt } from "#scripts/lab/vllm/chat-prompt.ts";
import { ask, chatBody, chunksOf, hostFor } from "./asking.ts";

const CHAT = "/v1/chat/completions";
const OPEN = { continue_final_message: true, add_generation_prompt: false };
const GREEDY = { weights: "lab", shift: 0 };
const FREE: Limits = { maxTokens: 1_000, minTokens: 0, ignoreEos: false, stop: [], holdback: "begun" };

/** A chat of which the assistant has said this much. */
const broken = (content: string, said: string, more: object = {}): Record<string, unknown> =>
  chatBody("", {
    messages: [
      { role: "user", content },
      { role: "assistant", content: said },
    ],
    ...more,
  });
/** As a body arrives: through JSON. */
const sent = (body: object): Record<string, unknown> => JSON.parse(JSON.stringify(body));
const ENGINES = [
  {
    engine: "vllm",
    holdback: "always",
    prompt: (content: string, said: string) => vllmPrompt(sent(broken(content, said, OPEN)), false),
  },
  {
    engine: "llamacpp",
    holdback: "begun",
    prompt: (content: string, said: string) => llamaPrompt(sent(broken(content, said)), false),
  },
] as const;

/** The lab's own words, and echoes of anything: emoji, composed ones, white space at every place. */
const unit = fc.oneof(
  fc.constantFrom("🙂", "👩‍🚀", "🇪🇺", "東京", "é", " ", "\n", "\t", "a", "longerword", "[DONE]", '"', "\\"),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 3 }),
);
const question = fc.oneof(
  fc.stringMatching(/^[a-z ?.]{1,40}$/),
  fc
    .tuple(fc.array(unit, { minLength: 1, maxLength: 30 }), fc.option(fc.integer({ min: 1, max: 12 })))
    .map(([parts, most]) => `[[echo]] ${parts.join("")}${most === null ? "" : ` [[tokens=${most}]]`}`),
);

type Shown = {
  /** What the caller has after each token. */
  readonly after: readonly string[];
  readonly finish: string | null;
  readonly stopWord: string | null;
};

function shown(prompt: string, limits: Limits): Shown {
  const generation = new Generation(prompt, GREEDY, limits);
  const after: string[] = [""];
  while (generation.finish === null) {
    generation.step();
    after.push(generation.text);
  }
  return { after, finish: generation.finish, stopWord: generation.stopWord };
}

/** Tokens of the answer to this prompt that are within the first units of its text. */
function wholeTokensIn(prompt: string, units: number): number {
  const voice = answer(prompt, GREEDY);
  let [tokens, at] = [0, 0];
  for (let token = voice.next(); token !== null; token = voice.next()) {
    at += token.length;
    if (at > units) break;
    tokens += 1;
  }
  return tokens;
}

describe.each(ENGINES)("$engine", ({ engine, holdback, prompt }) => {
  test("broken at any UTF-16 unit: in a word, in white space, in an emoji", () => {
    fc.assert(
      fc.property(question, fc.nat(), (content, cut) => {
        const whole = shown(prompt(content, ""), FREE).after.at(-1) ?? "";
        const said = whole.slice(0, cut % (whole.length + 1));
        expect(said + (shown(prompt(content, said), FREE).after.at(-1) ?? "")).toBe(whole);
      }),
      { numRuns: 500 },
    );
  });

  test("broken after any token, with stop strings near and over the seam and a limit", () => {
    fc.assert(
      fc.property(
        question,
        fc.nat(),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 9 })), { maxLength: 3 }),
        fc.integer({ min: 1, max: 60 }),
        (content, cut, slices, maxTokens) => {
          const free = shown(prompt(content, ""), FREE).after.at(-1) ?? "";
          const stop = slices
            .map(([from, length]) => free.slice(from % (free.length + 1)).slice(0, length))
            .filter((word) => word !== "");
          const limits: Limits = { ...FREE, maxTokens, stop, holdback };
          const { after, finish, stopWord } = shown(prompt(content, ""), limits);
          // The last step is the end itself: nothing is left to go on with.
          const said = after[cut % (after.length - 1)] ?? "";
          const left = maxTokens - wholeTokensIn(prompt(content, ""), said.length);
          const rest = shown(prompt(content, said), { ...limits, maxTokens: left });
          expect([said + (rest.after.at(-1) ?? ""), rest.finish, rest.stopWord]).toEqual([
            after.at(-1),
            finish,
            stopWord,
          ]);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("only the new text is told, and only new tokens are counted as its own", async () => {
    const host = await hostFor({ engine });
    const content = "Tell me [[tokens=24]]";
    const streamed = { stream: true, stream_options: { include_usage: true, continuous_usage_stats: true } };
    const timed = { timings_per_token: true };
    const whole = chunksOf((await ask(host, CHAT, chatBody(content, streamed))).text);
    const said = whole
      .slice(0, 11)
      .map(({ choices: [choice] }) => choice?.delta.content ?? "")
      .join("");
    const more = engine === "vllm" ? OPEN : {};
    const rest = chunksOf((await ask(host, CHAT, broken(content, said, { ...streamed, ...timed, ...more }))).text);
    expect(said + rest.map(({ choices: [choice] }) => choice?.delta.content ?? "").join("")).toBe(
      whole.map(({ choices: [choice] }) => choice?.delta.content ?? "").join(""),
    );
    const all = whole.at(-1)?.usage;
    expect(rest.at(-1)?.usage).toMatchObject({
      prompt_tokens: (all?.prompt_tokens ?? 0) + countTokens(said),
      completion_tokens: 24 - countTokens(said),
    });
    const running = rest.flatMap(
      ({ usage, timings }) => (engine === "vllm" ? usage?.completion_tokens : timings?.predicted_n) ?? [],
    );
    expect(running.slice(0, 3)).toEqual(engine === "vllm" ? [0, 1, 2] : [1, 2, 3]);
  });
});

describe("what the engines refuse, and what they do not", () => {
  const messages = [{ role: "user", content: "hi [[tokens=4]]" }];
  const open = [...messages, { role: "assistant", content: "the" }];
  test.each([
    {
      engine: "vllm",
      more: { messages: open, continue_final_message: true, add_generation_prompt: true },
      status: 400,
    },
    { engine: "vllm", more: { messages: open, continue_final_message: true }, status: 400 },
    { engine: "vllm", more: { messages: open, ...OPEN }, status: 200 },
    { engine: "vllm", more: { messages, ...OPEN }, status: 200 },
    { engine: "llamacpp", more: { messages: [...open, ...open.slice(-1)] }, status: 400 },
    { engine: "llamacpp", more: { messages: open }, status: 200 },
  ] as const)("$engine $more", async ({ engine, more, status }) => {
    const host = await hostFor({ engine });
    const answered = await ask(host, CHAT, chatBody("", more));
    expect(answered.status).toBe(status);
    if (status === 400) expect(answered.text).toMatch(/Cannot set both|not compatible|Cannot have 2 or more assistant/);
  });

  test("without continue_final_message vLLM closes the assistant's message and begins another", () => {
    expect(vllmPrompt(chatBody("", { messages: open }), false)).toBe(
      `<|user|>\nhi [[tokens=4]]<|end|>\n${ASSISTANT}the<|end|>\n${ASSISTANT}`,
    );
  });

  test("a template that trims: vLLM goes on without the white space at the end, llama.cpp with it", async () => {
    const told = async (engine: "vllm" | "llamacpp", trimsContent: boolean): Promise<string | undefined> => {
      const host = await hostFor({ engine, trimsContent });
      return (await ask(host, CHAT, broken("[[echo]] one two three", "one two ", OPEN))).json.choices[0].message
        .content;
    };
    expect(await told("vllm", false)).toBe("three");
    expect(await told("vllm", true)).toBe(" three");
    expect(await told("llamacpp", true)).toBe("three");
  });
});
