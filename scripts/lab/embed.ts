// Embedding vectors and the conductor of embedding requests: they take a slot and leave truth as generations do.
import type { Exchange } from "./exchange.ts";
import { BadField, type Json } from "./fields.ts";
import { fold, spread } from "./hash.ts";
import type { Machine } from "./machine.ts";
import { type Headers, reply, replyStruck } from "./whole-reply.ts";

const DEFAULT_DIMENSIONS = 384;

/** The unit vector of a text: equal texts have equal vectors on every host of one weights family. */
export function embedding(input: string, weights: string, dimensions: number): number[] {
  const state = fold(fold(0x811c9dc5, weights), input);
  const raw = Array.from(
    { length: dimensions },
    (_, axis) => spread(Math.imul(state ^ (axis + 1), 0x9e3779b1)) / 2 ** 31 - 1,
  );
  const length = Math.hypot(...raw) || 1;
  // Rounded to what a float32 can hold, so that the float and the base64 form say the same.
  return raw.map((value) => Math.fround(value / length));
}

/** A vector in the encoding asked for: numbers, or base64 of little-endian float32. @throws BadField */
export function encoded(vector: readonly number[], format: unknown): readonly number[] | string {
  if (format === undefined || format === null || format === "float") return vector;
  if (format !== "base64") throw new BadField("encoding_format", "Input should be 'float' or 'base64'");
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [axis, value] of vector.entries()) bytes.writeFloatLE(value, axis * 4);
  return bytes.toString("base64");
}

/** How long vectors are: `dimensions` of the body, or the host's own. @throws BadField */
export function dimensionsOf(machine: Machine, body: Json): number {
  const own = machine.options.embeddingDimensions ?? DEFAULT_DIMENSIONS;
  const asked = body.dimensions ?? own;
  if (typeof asked !== "number" || !Number.isInteger(asked) || asked < 1 || asked > own)
    throw new BadField("dimensions", `dimensions must be between 1 and ${own}`);
  return asked;
}

export interface EmbedAsk {
  readonly id: string;
  readonly model: string;
  readonly inputs: readonly string[];
  readonly headers: Headers;
  readonly errorBody: string;
  /** The reply's body, given the prompt tokens. */
  whole(promptTokens: number): unknown;
}

/** Answers an embedding request in its turn. False when the line is full. */
export function embed(machine: Machine, exchange: Exchange, ask: EmbedAsk): boolean {
  const { scheduler, truth, meters, pace } = machine;
  if (scheduler.full) {
    meters.rejected += 1;
    return false;
  }
  const { res, requestId, fault } = exchange;
  const promptTokens = ask.inputs.reduce(
    (sum, input) => sum + machine.prefixCache.look(input, ask.model).promptTokens,
    0,
  );
  const entry = truth.begin({ id: ask.id, requestId, model: ask.model, promptTokens }, machine.now());
  const ticket = scheduler.submit({
    // One forward pass without decoding: a fraction of a generation's first token.
    start: () => pace.ttftMs / 4,
    advance: (_tokens, nowMs) => {
      meters.promptTokens += promptTokens;
      meters.computedPromptTokens += promptTokens;
      const body = JSON.stringify(ask.whole(promptTokens));
      const struck = fault !== null && replyStruck(res, ask.headers, body, fault, ask.errorBody);
      if (fault === null) reply(res, 200, ask.headers, body);
      truth.end(entry, struck ? "fault" : "stop", nowMs);
      meters.ended[struck ? "fault" : "stop"] += 1;
      return false;
    },
  });
  res.on("close", () => {
    if (entry.ended !== null) return;
    truth.end(entry, "aborted", machine.now());
    meters.ended.aborted += 1;
    ticket.leave();
  });
  return true;
}
