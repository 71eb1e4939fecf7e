// How llama.cpp writes its native /completion: events with `stop`, and no [DONE] behind the last. Pure.

import type { Limits } from "../generation.ts";
import type { Choice, Facts, Shape } from "../shape.ts";
import { errorBody, LLAMACPP_HEADERS, LLAMACPP_STREAM } from "./errors.ts";
import { settings, timings } from "./timings.ts";

const BROKEN = errorBody("server_error", "failed to decode the batch");

export interface NativeShapeOptions {
  readonly model: string;
  readonly limits: Limits;
  readonly timingsPerToken: boolean;
  readonly stream: boolean;
  readonly noUsage: boolean;
}

/** The shape of one native answer; several prompts answer with an array. */
export function nativeShape(options: NativeShapeOptions): Shape {
  const final = ({ index, prompt, generation }: Choice, facts: Facts, content: string): unknown => ({
    index,
    content,
    tokens: [],
    id_slot: facts.slot,
    stop: true,
    model: options.model,
    ...(options.noUsage ? {} : { tokens_predicted: generation.tokens, tokens_evaluated: facts.promptTokens }),
    generation_settings: settings(options.limits, options.stream),
    prompt,
    has_new_line: generation.text.includes("\n"),
    truncated: false,
    stop_type: stopType(generation),
    stopping_word: generation.stopWord ?? "",
    tokens_cached: facts.promptTokens + generation.tokens,
    ...(options.noUsage ? {} : { timings: timings(facts) }),
  });
  return {
    streamHeaders: LLAMACPP_STREAM,
    wholeHeaders: LLAMACPP_HEADERS,
    headersAt: "start",
    errorEvent: `data: ${BROKEN}\n\n`,
    errorBody: BROKEN,
    opening: () => "",
    piece: (choice, piece, facts) => {
      const counts = options.noUsage
        ? ""
        : `,"tokens_predicted":${choice.generation.tokens},"tokens_evaluated":${facts.promptTokens}`;
      const timed = options.timingsPerToken ? `,"timings":${JSON.stringify(timings(facts))}` : "";
      const said =
        piece.text === ""
          ? ""
          : `data: {"index":${choice.index},"content":${JSON.stringify(piece.text)},"tokens":[],"stop":false,"id_slot":${facts.slot}${counts}${timed}}\n\n`;
      return piece.finish === null ? said : `${said}data: ${JSON.stringify(final(choice, facts, ""))}\n\n`;
    },
    ending: () => "",
    whole: (choices, facts) => {
      const all = choices.map((choice) => final(choice, facts, choice.generation.text));
      return all.length === 1 ? all[0] : all;
    },
  };
}

function stopType({ finish, stopWord }: Choice["generation"]): "word" | "eos" | "limit" {
  if (stopWord !== null) return "word";
  return finish === "stop" ? "eos" : "limit";
}
