/**
 * What a host says a question's input counts: by its own Messages route where it offers one, else by its tokenizer, which
 * vLLM asks for a conversation and llama.cpp for a prompt that its template has made of one. Nothing is generated.
 */
import { readBounded } from "#src/bytes.ts";
import type { Host, Served } from "#src/catalog/schema.ts";
import type { Question } from "#src/ingress/question.ts";
import { isObject, type JsonObject } from "#src/json.ts";
import type { Reply } from "./attempt.ts";
import { refusalOf } from "./engine-error.ts";
import { post, type Trace } from "./exchange.ts";
import { isAskedNatively, MESSAGES_PATH } from "./messages.ts";
import { countOf } from "./native.ts";
import type { Ask } from "./reach.ts";

/** The longest context there is, as a list of token ids, and some. */
const MAX_COUNT_BYTES = 8 * 1024 * 1024;
/** The host has no such route, or whatever stands before it lets nobody there. */
const ABSENT: readonly number[] = [404, 405, 501];

/** Whether such a host can count at all: one without a chat route has no template of its own, and a cloud no tokenizer. */
export function mayCount({ engine, native }: Pick<Host, "engine" | "native">): boolean {
  return engine !== "openai" && !native;
}

/**
 * Asks one host.
 *
 * @returns the input's tokens, null from a host that cannot tell, or its refusal
 * @throws whatever `ask` throws, and Error for an answer that is no count
 */
export async function countTokens(
  ask: Ask,
  { host, served }: { readonly host: Host; readonly served: Served },
  question: Question,
  trace: Trace,
  signal: AbortSignal,
): Promise<Reply<number | null>> {
  const tell = (path: string, body: JsonObject) => askJson(ask, path, body, trace, signal);
  const { model: _named, ...prompt } = question.body;
  if (isAskedNatively(host, question))
    return counted(await tell(`${MESSAGES_PATH}/count_tokens`, { ...question.original, model: served.as }), inputOf);
  if (host.engine === "vllm") return counted(await tell("/tokenize", { ...prompt, model: served.as }), countIn);
  // That it is to go on from a last message of the assistant's it takes for granted.
  const { continue_final_message: _implied, add_generation_prompt: _impliedToo, ...conversation } = prompt;
  const templated = await tell("/apply-template", conversation);
  if (templated.kind !== "answer" || templated.answer === null) return counted(templated, countIn);
  const content = templated.answer.prompt;
  // As the engine itself reads what its template made: with a beginning of text, and control texts as what they are.
  return counted(await tell("/tokenize", { content, add_special: true, parse_special: true }), lengthIn);
}

const inputOf = ({ input_tokens }: JsonObject): unknown => input_tokens;
const countIn = ({ count }: JsonObject): unknown => count;
const lengthIn = ({ tokens }: JsonObject): unknown => (Array.isArray(tokens) ? tokens.length : null);

function counted(reply: Reply<JsonObject | null>, of: (document: JsonObject) => unknown): Reply<number | null> {
  if (reply.kind !== "answer") return reply;
  if (reply.answer === null) return { kind: "answer", answer: null };
  const tokens = countOf(of(reply.answer));
  if (tokens === null) throw new Error("the document holds no count");
  return { kind: "answer", answer: tokens };
}

async function askJson(
  ask: Ask,
  path: string,
  body: JsonObject,
  trace: Trace,
  signal: AbortSignal,
): Promise<Reply<JsonObject | null>> {
  const response = await post(ask, { path, body }, trace, "application/json", signal);
  const bytes = await readBounded(response, MAX_COUNT_BYTES);
  if (ABSENT.includes(response.status)) return { kind: "answer", answer: null };
  const text = new TextDecoder().decode(bytes ?? new Uint8Array(0));
  if (response.status !== 200) return refusalOf(response.status, response.headers, text, Date.now());
  const document: unknown = JSON.parse(text);
  if (!isObject(document)) throw new Error("the document holds no count");
  return { kind: "answer", answer: document };
}
