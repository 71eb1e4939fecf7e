// What llama.cpp's generation routes read, and how each becomes an ask. Runs nothing itself.
import { type Exchange, samplingShift, usageWish } from "../exchange.ts";
import { count, flag, type Json, text, texts } from "../fields.ts";
import { generate } from "../generate.ts";
import type { Limits } from "../generation.ts";
import type { Machine } from "../machine.ts";
import { mixedPrompts, rawPrompts } from "../prompts.ts";
import { forcedCall, jsonAnswer } from "../scripts.ts";
import type { Ask, Shape } from "../shape.ts";
import { countTokens } from "../tokens.ts";
import { chatPrompt } from "./chat-prompt.ts";
import { chatShape, completionShape, type V1ShapeOptions } from "./chat-shape.ts";
import { ContextExceeded, refuse } from "./errors.ts";
import { nativeShape } from "./native-shape.ts";

/** POST /v1/chat/completions. @throws BadField, ContextExceeded */
export function chat(machine: Machine, exchange: Exchange): void {
  const { body } = exchange;
  const call = forcedCall(body);
  const options = v1Options(machine, exchange, call);
  const script = call?.arguments ?? jsonAnswer(body) ?? undefined;
  const prompts = [chatPrompt(body, machine.options.trimsContent ?? false)];
  run(machine, exchange, { id: options.id, prompts, script }, () => chatShape(options));
}

/** POST /v1/completions. @throws BadField, ContextExceeded */
export function completions(machine: Machine, exchange: Exchange): void {
  const options = v1Options(machine, exchange, null);
  const prompts = rawPrompts(exchange.body, "prompt", machine.tokenIds);
  run(machine, exchange, { id: options.id, prompts }, () => completionShape(options));
}

/** POST /completion: the native protocol. @throws BadField, ContextExceeded */
export function native(machine: Machine, exchange: Exchange): void {
  const { body } = exchange;
  const prompts = mixedPrompts(body, machine.tokenIds);
  const script = body.json_schema === undefined ? undefined : (jsonAnswer(nativeFormat(body)) ?? undefined);
  run(machine, exchange, { id: `task-${exchange.requestId}`, prompts, script }, (limits) =>
    nativeShape({
      model: modelName(machine, body),
      limits,
      timingsPerToken: flag(body, "timings_per_token"),
      stream: flag(body, "stream"),
      noUsage: machine.options.forceNoUsage ?? false,
    }),
  );
}

/** The model a reply names: the one asked for, since one server holds one model and does not look. */
export function modelName(machine: Machine, body: Json): string {
  return text(body, "model", "") || (machine.options.models[0] ?? "");
}

function run(
  machine: Machine,
  exchange: Exchange,
  parts: Pick<Ask, "id" | "prompts" | "script">,
  shapeOf: (limits: Limits) => Shape,
): void {
  const { body, res } = exchange;
  const n = count(body, "n", 1) ?? 1;
  if (n > machine.pace.slots) {
    refuse(res, "invalid_request_error", "n_cmpl cannot be greater than the number of slots, please increase -np");
    return;
  }
  const limits = readLimits(body, Math.max(...parts.prompts.map(countTokens)), machine.options.contextTokens);
  const ask: Ask = {
    ...parts,
    n,
    limits,
    model: modelName(machine, body),
    shift: samplingShift(body, machine.nextNumber),
    stream: flag(body, "stream"),
  };
  if (!generate(machine, exchange, ask, shapeOf(limits))) refuse(res, "unavailable_error", "no slot available");
}

function readLimits(body: Json, promptTokens: number, contextTokens: number): Limits {
  if (promptTokens >= contextTokens) throw new ContextExceeded(promptTokens, contextTokens);
  const left = contextTokens - promptTokens;
  const asked =
    count(body, "n_predict", -1) ?? count(body, "max_completion_tokens", -1) ?? count(body, "max_tokens", -1) ?? -1;
  const maxTokens = asked < 0 ? left : Math.min(asked, left);
  return { maxTokens, minTokens: 0, ignoreEos: flag(body, "ignore_eos"), stop: texts(body, "stop"), holdback: "begun" };
}

function v1Options(machine: Machine, { body, requestId }: Exchange, call: V1ShapeOptions["call"]): V1ShapeOptions {
  return {
    id: `chatcmpl-${requestId}`,
    model: modelName(machine, body),
    createdS: Math.floor(machine.now() / 1000),
    includeUsage: usageWish(body, false).include,
    noUsage: machine.options.forceNoUsage ?? false,
    timingsPerToken: flag(body, "timings_per_token"),
    call,
  };
}

function nativeFormat(body: Json): Json {
  return { response_format: { type: "json_schema", json_schema: { schema: body.json_schema } } };
}
