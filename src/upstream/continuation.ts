/**
 * Which answers another host may carry on, and what it is asked then. Pure.
 *
 * The policy: one plain text, streamed, of chat or of one raw prompt. Several answers to one question, tools, a form that
 * the text must keep to (JSON, a grammar), log probabilities and echoed prompts end in an error event instead: their
 * state is in the engine that died, and an answer that looks whole and is not would be worse than an error. So does an
 * answer that reasons aloud or calls a tool in whichever part, whatever was asked. Penalties count what was said before the
 * seam as prompt, and a seed starts anew: the text stays plausible, at temperature 0 without penalties it stays the same.
 *
 * For it to stay the same, the next host must stand where the first one stood, and that is where a token ends: a model that
 * is given half a word completes it by other tokens than it would have made. A greedy answer is therefore cut back to its
 * last token that is known to be whole, and what the caller has beyond is said again and dropped. A sampled one would
 * mostly say something else there, and goes on from the end of its text.
 */
import { concat } from "#src/bytes.ts";
import type { Host, Model } from "#src/catalog/schema.ts";
import type { Question } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { eventOf } from "#src/sse.ts";
import { ContinuedStream } from "./continued-stream.ts";
import { OpenAiStream } from "./openai-stream.ts";
import { type Seam, tokensWithin } from "./seam.ts";
import type { Source } from "./telling.ts";
import { isHalf, isSolid } from "./token-marks.ts";

/**
 * Text that is kept for a seam: some 16,000 tokens. Longer answers are not carried on, because a few hundred of them at
 * once would fill an isolate.
 */
export const MOST_KEPT_CHARACTERS = 65_536;

/** Fields whose mere presence gives an answer a form or a state of its own, each with what asks for nothing of it. */
const BINDING: Readonly<Record<string, (value: unknown) => boolean>> = {
  n: (value) => value === 1,
  tools: isEmptyList,
  functions: isEmptyList,
  logprobs: (value) => value === false,
  top_logprobs: (value) => value === 0,
  echo: (value) => value === false,
  suffix: (value) => value === "",
  response_format: (value) => typeof value === "object" && value !== null && Reflect.get(value, "type") === "text",
  ...Object.fromEntries(
    ["guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "grammar"]
      .concat(["json_schema", "modalities", "audio"])
      .map((field) => [field, () => false]),
  ),
};

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

const NOTHING: Source["reader"] = {
  read: () => Promise.resolve({ done: true, value: undefined }),
  cancel: () => Promise.resolve(),
};

/** Whether a question's answer may be carried on, as far as the question tells. */
export function mayContinue({ route, body, stream }: Question, { continuation }: Pick<Model, "continuation">): boolean {
  if (!continuation || !stream || route === "embeddings") return false;
  const isBound = Object.entries(BINDING).some(([field, asksForNothing]) => {
    return body[field] != null && !asksForNothing(body[field]);
  });
  if (isBound) return false;
  if (route === "completions") return typeof body.prompt === "string";
  const last = lastMessage(body);
  // Engines differ in what an assistant's last word means: vLLM answers it, llama.cpp writes it on.
  return last?.role !== "assistant" || (body.continue_final_message === true && typeof last.content === "string");
}

export type Cut = "at a token" | "anywhere";

/** What the next host is asked. */
export type Continued = {
  readonly question: Question;
  /** Of its answer the caller has this already. */
  readonly owed: string;
  /** Tokens of the parts before, without those that will be made again. */
  readonly delivered: number;
};

/** Whether the answer has all the tokens that it may have: only the word that it is over is missing. */
export function isAtBound(question: Question, seam: Seam, from: Host): boolean {
  const bound = boundOf(question, from);
  return bound !== null && tokensWithin(seam, seam.text.length) >= bound;
}

/** The end of an answer that has reached its bound, as an engine would have told it. */
export function ending({ route, wantsUsage }: Question, seam: Seam): Source {
  const nothing = route === "chat" ? { delta: {} } : { text: "" };
  const choice = { index: 0, ...nothing, logprobs: null, finish_reason: "length" };
  const events = [JSON.stringify({ ...seam.head, choices: [choice] }), "[DONE]"].map(eventOf);
  const part = new OpenAiStream({ usageChunk: false, member: null });
  const stream = new ContinuedStream(part, seam, tokensWithin(seam, seam.text.length), "", wantsUsage);
  // It is over before anything is read of it.
  const head = stream.push(concat(events));
  return { reader: NOTHING, stream, head };
}

/** The bound of raw completions that name none: OpenAI's, and vLLM's (`SamplingParams`, all versions). */
const COMPLETION_TOKENS = 16;

/** Whether a question has one answer only: that of the likeliest token each time. */
export function isGreedy({ body }: Question): boolean {
  return body.temperature === 0 || body.top_k === 1;
}

/**
 * The question that goes on from a seam.
 *
 * @param from the host that made the last part
 * @param to the host that is asked to go on
 * @param cut `at a token` goes back to where a token ends: the next host stands exactly where the first one stood, and
 *   says a little again. One that would say something else then has to be cut `anywhere`, at the end of the text, and
 *   completes a token in its own way
 * @throws Problem `unsupported_value` where that host would end the answer sooner than the first
 */
export function continued(question: Question, seam: Seam, from: Host, to: Host, cut: Cut): Continued {
  const { body } = question;
  if (boundOf(question, from) === null && boundOf(question, to) !== null) {
    throw new Problem("unsupported_value", { param: "max_tokens", message: "The host bounds what had no bound." });
  }
  const whole = isHalf(seam.text) ? seam.text.slice(0, -1) : seam.text;
  // vLLM's chat templates may trim the message that is to be continued: white space at its end is left to be said again.
  const isTrimmed = question.route === "chat" && to.engine === "vllm";
  const atToken = cut === "at a token" ? upToToken(whole, seam, isTrimmed) : null;
  const said = atToken ?? (isTrimmed ? whole.trimEnd() : whole);
  const owed = seam.text.slice(said.length);
  const delivered = tokensWithin(seam, said.length);
  const bound = boundOf(question, from);
  const left = bound === null ? null : Math.max(1, bound - delivered);
  const { max_tokens: _bound, max_completion_tokens: _newerBound, ...unbounded } = body;
  const bounded: JsonObject = left === null ? unbounded : { ...unbounded, max_tokens: left };
  const goingOn = question.route === "chat" ? messagesWith(body, said) : { prompt: `${body.prompt}${said}` };
  // All that the host tells of usage is wanted: the parts' sums are the caller's. What the caller wrote in a protocol of
  // its own knows nothing of what was said since.
  const further = { original: null, wantsUsage: true, body: { ...bounded, ...goingOn } };
  return { owed, delivered, question: { ...question, ...further } };
}

/**
 * Characters that a host holds back at the end of what it has made: of a text that could become a stop string vLLM always
 * holds the longest one's length less one, where that is not to be part of the answer; llama.cpp counts no token before
 * it has passed.
 */
export function heldCharacters({ body }: Question, { engine }: Host): number {
  if (engine !== "vllm" || body.include_stop_str_in_output === true) return 0;
  return Math.max(0, ...[body.stop ?? []].flat().map((stop) => [...String(stop)].length - 1));
}

function boundOf({ route, body }: Question, host: Host): number | null {
  const named = body.max_completion_tokens ?? body.max_tokens;
  if (typeof named === "number") return named;
  return route === "completions" && host.engine !== "llamacpp" ? COMPLETION_TOKENS : null;
}

/** The text up to its last token that is known to be whole; null where none is. */
function upToToken(whole: string, { marks }: Seam, isTrimmed: boolean): string | null {
  const mark = marks.findLast(({ reach }) => reach <= whole.length && !(isTrimmed && !isSolid(whole.slice(0, reach))));
  return mark === undefined ? null : whole.slice(0, mark.reach);
}

function messagesWith(body: JsonObject, said: string): JsonObject {
  // Nothing that could be written on: the answer is made anew.
  if (said === "") return {};
  const messages = Array.isArray(body.messages) ? body.messages : [];
  const last = lastMessage(body);
  const goingOn = { continue_final_message: true, add_generation_prompt: false };
  if (last?.role !== "assistant") return { messages: [...messages, { role: "assistant", content: said }], ...goingOn };
  return { messages: [...messages.slice(0, -1), { ...last, content: `${last.content}${said}` }], ...goingOn };
}

function lastMessage({ messages }: JsonObject): JsonObject | undefined {
  return Array.isArray(messages) ? messages.at(-1) : undefined;
}
