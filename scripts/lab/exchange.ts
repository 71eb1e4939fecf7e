// One HTTP request as the routes see it, and what it asks of the model in engine-neutral words.
import type { IncomingMessage, ServerResponse } from "node:http";
import { SHIFTS } from "./answer.ts";
import type { Fault } from "./faults.ts";
import { BadField, flag, isJson, type Json, number } from "./fields.ts";
import type { LabFile } from "./form.ts";
import { spread } from "./hash.ts";

export interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Parsed JSON; {} for requests without a body. */
  readonly body: Json;
  /** Of a form; null where there is none. */
  readonly file: LabFile | null;
  /** The caller's X-Request-Id, else one made here. */
  readonly requestId: string;
  /** The stream fault that strikes this request. */
  readonly fault: Fault | null;
}

/** How much usage a stream reports. */
export interface UsageWish {
  readonly include: boolean;
  readonly continuous: boolean;
}

/** Reads `stream_options`. @throws BadField when given without `stream` (vLLM's rule) */
export function usageWish(body: Json, strict: boolean): UsageWish {
  const { stream_options: options } = body;
  if (options === undefined || options === null) return { include: false, continuous: false };
  if (!isJson(options)) throw new BadField("stream_options", "Input should be a valid dictionary");
  if (strict && !flag(body, "stream"))
    throw new BadField("stream_options", "Stream options can only be defined when `stream=True`.");
  const include = flag(options, "include_usage");
  return { include, continuous: include && flag(options, "continuous_usage_stats") };
}

/**
 * Which of the likely words sampling takes: none given or temperature 0 is greedy, a seed fixes the choice, else it
 * moves with every request (`fresh`). @throws BadField
 */
export function samplingShift(body: Json, fresh: () => number): number {
  const temperature = number(body, "temperature") ?? 0;
  if (temperature < 0) throw new BadField("temperature", `temperature must be non-negative, got ${temperature}.`);
  const seed = number(body, "seed");
  if (temperature === 0) return 0;
  return seed === null || seed < 0 ? fresh() % SHIFTS : 1 + (spread(seed >>> 0) % (SHIFTS - 1));
}
