/** How an answer is said on `/v1/responses`. Pure. */
import { isObject, type JsonObject } from "#src/json.ts";
import { openAiError } from "#src/problem.ts";
import type { Wording } from "../wording.ts";
import { inOwnWords } from "./field-names.ts";
import { Output } from "./output.ts";
import { responseOf, type Settings, statusOf } from "./response.ts";
import { logprobsOf, ResponsesVoice } from "./voice.ts";

/** The wording for one request. */
export function wordingOf(settings: Settings): Wording {
  return {
    protocol: "responses",
    whole: (answer) => wholeOf(settings, answer),
    voice: () => new ResponsesVoice(settings),
    error: (problem) => openAiError(inOwnWords(problem)),
  };
}

function wholeOf(settings: Settings, { model, choices, usage }: JsonObject): JsonObject {
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
  const { message, logprobs, finish_reason: finishReason } = isObject(choice) ? choice : {};
  const output = new Output(settings.key);
  output.take(isObject(message) ? message : {}, logprobsOf(logprobs));
  const status = statusOf(finishReason);
  output.end(status);
  return responseOf(settings, { status, model, output: output.documents, usage, finishReason });
}
