/**
 * A question as a service that speaks OpenAI's protocol takes it. Such a service refuses fields that it does not know,
 * and engines have many that it does not; so only what OpenAI documents goes out, and of that nothing that spends or
 * keeps more than the question asks for. Pure.
 */
import type { PlainRoute, Question } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";

const named = (fields: string): readonly string[] => fields.split(" ");

const SAMPLING = named(
  "frequency_penalty logit_bias logprobs n presence_penalty seed stop stream temperature top_p user",
);

/**
 * OpenAI's API reference, November 2026. Left out on purpose: `store` and `metadata`, which keep the question there;
 * `service_tier` and `web_search_options`, which the operator pays for; and `moderation`.
 */
const DOCUMENTED: Record<PlainRoute, ReadonlySet<string>> = {
  chat: new Set([
    ...SAMPLING,
    ...named("messages top_logprobs max_tokens max_completion_tokens tools tool_choice parallel_tool_calls functions"),
    ...named("function_call response_format audio modalities prediction reasoning_effort verbosity"),
    ...named("prompt_cache_key prompt_cache_retention safety_identifier"),
  ]),
  completions: new Set([...SAMPLING, ...named("prompt max_tokens echo suffix")]),
  embeddings: new Set(named("input dimensions encoding_format user")),
};

/** Of a message. Clients send answers back as they came, and engines put more into theirs: `reasoning_content`. */
const OF_A_MESSAGE = new Set(named("role content name refusal audio function_call tool_calls tool_call_id"));

/**
 * Engine options that give an answer its form. One that was left out would not be missed until somebody parses the
 * answer: where only such a host is left, the caller is told.
 */
const SHAPES_ANSWER = [
  ...named("guided_json guided_regex guided_choice guided_grammar structured_outputs"),
  ...named("grammar json_schema continue_final_message"),
];

/**
 * The request for a question.
 *
 * @param model the model's name there
 * @throws Problem `unsupported_value` for what would be answered in another form than was asked for
 */
export function openAiRequest(
  { route, body, stream }: Question & { readonly route: PlainRoute },
  model: string,
): JsonObject {
  for (const param of SHAPES_ANSWER) {
    if (body[param] == null || body[param] === false) continue;
    const message = `${param} is not supported by the host that serves this model.`;
    throw new Problem("unsupported_value", { param, message });
  }
  // What is null is not set, and not every service says so.
  const said = Object.entries(body).filter(([field, value]) => DOCUMENTED[route].has(field) && value != null);
  const { max_tokens, ...rest } = Object.fromEntries(said);
  return {
    ...rest,
    model,
    // OpenAI refuses the two together; the gateway goes by the newer name too.
    ...(max_tokens === undefined || rest.max_completion_tokens !== undefined ? {} : { max_tokens }),
    ...(route === "chat" ? { messages: messagesOf(body) } : {}),
    ...(stream ? { stream_options: { include_usage: true } } : {}),
  };
}

function messagesOf({ messages }: JsonObject): unknown[] {
  if (!Array.isArray(messages)) return [];
  return messages.map((message: JsonObject) =>
    Object.fromEntries(Object.entries(message).filter(([member]) => OF_A_MESSAGE.has(member))),
  );
}
