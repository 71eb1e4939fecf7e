/** `/tokenize` as vLLM has it; llama.cpp's takes other names, and has a conversation rendered first. Pure. */
import { z } from "zod";
import type { JsonObject } from "#src/json.ts";
import type { Tally } from "./tally.ts";

/** What goes on to vLLM. */
const FIELDS = [
  "prompt",
  "messages",
  "tools",
  "add_special_tokens",
  "add_generation_prompt",
  "continue_final_message",
  "return_token_strs",
];

export function vllmTokenizeRequest(body: JsonObject, model: string): JsonObject {
  const said = Object.entries(body).filter(([field, value]) => FIELDS.includes(field) && value != null);
  return { ...Object.fromEntries(said), model };
}

/** llama.cpp's `/apply-template`: a conversation to a prompt. */
export function templateRequest({ messages, tools, add_generation_prompt }: JsonObject): JsonObject {
  return {
    messages,
    ...(tools == null ? {} : { tools }),
    ...(add_generation_prompt == null ? {} : { add_generation_prompt }),
  };
}

const rendered = z.looseObject({ prompt: z.string() });

/**
 * llama.cpp's `/tokenize`.
 *
 * @param template what `/apply-template` answered; null for a raw prompt
 */
export function llamaTokenizeRequest(body: JsonObject, template: JsonObject | null): JsonObject {
  return {
    content: template === null ? body.prompt : rendered.parse(template).prompt,
    // vLLM's defaults: a template writes the special tokens that it wants by itself.
    add_special: body.add_special_tokens ?? template === null,
    parse_special: true,
    ...(body.return_token_strs === true ? { with_pieces: true } : {}),
  };
}

const id = z.number().int();
/** What is no UTF-8 by itself llama.cpp tells in bytes. */
const piece = z.union([z.string(), z.array(z.number().int().min(0).max(255))]);
const said = z.looseObject({
  tokens: z.union([z.array(id), z.array(z.looseObject({ id, piece }))]),
  token_strs: z.array(z.string()).nullish(),
  max_model_len: z.number().int().nullish(),
});

/** A host's answer in vLLM's shape. @param context of the model, for hosts that do not tell it */
export function tokenizeAnswer(document: JsonObject, context: number | undefined): JsonObject {
  const { tokens, token_strs, max_model_len } = said.parse(document);
  const pieces = tokens.flatMap((token) => (typeof token === "number" ? [] : [textOf(token.piece)]));
  return {
    count: tokens.length,
    max_model_len: max_model_len ?? context ?? null,
    tokens: tokens.map((token) => (typeof token === "number" ? token : token.id)),
    token_strs: token_strs ?? (pieces.length > 0 ? pieces : null),
  };
}

function textOf(piece: string | readonly number[]): string {
  return typeof piece === "string" ? piece : new TextDecoder().decode(Uint8Array.from(piece));
}

/** Nothing is generated and no prompt is worked on: it costs a request and no token. */
export const FREE: Tally = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: null,
  contentPieces: 0,
  finishReason: null,
};
