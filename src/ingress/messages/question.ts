/** `POST /v1/messages`: from Anthropic's document to a question that is asked as chat. Pure. */
import type { JsonObject } from "#src/json.ts";
import { messagesError } from "#src/messages-problem.ts";
import { type Question, WHOLE } from "../question.ts";
import type { Wording } from "../wording.ts";
import { type Asked, askedOf, type Counted, countedOf } from "./document.ts";
import { chatOf, isPrefill, promptOf } from "./to-chat.ts";
import { messageOf, type Saying } from "./to-message.ts";
import { MessagesVoice } from "./voice.ts";

/**
 * The question.
 *
 * @param requestId names the answer
 * @throws Problem `invalid_value` or `unsupported_value`, naming the field
 */
export function messagesQuestion(document: JsonObject, requestId: string): Question {
  const asked = askedOf(document);
  const stream = asked.stream === true;
  return { ...asChat(asked, wordingOf(asked, requestId)), stream, wantsUsage: stream, body: chatOf(asked) };
}

/** The question whose prompt is to be counted. @throws Problem as `messagesQuestion` */
export function countQuestion(document: JsonObject, requestId: string): Question {
  const counted = countedOf(document);
  return { ...asChat(counted, wordingOf(counted, requestId)), stream: false, wantsUsage: false };
}

function asChat(asked: Counted, wording: Wording): Omit<Question, "stream" | "wantsUsage"> {
  return {
    ...WHOLE,
    route: "chat",
    model: asked.model,
    body: promptOf(asked),
    wording,
    original: nativelyOf(asked),
    needs: null,
  };
}

function wordingOf(asked: Counted & Partial<Asked>, requestId: string): Wording {
  const saying: Saying = {
    requestId,
    model: asked.model,
    stopSequences: asked.stop_sequences ?? [],
    showsThinking: asked.thinking?.type !== "disabled" && asked.thinking?.display !== "omitted",
  };
  return {
    protocol: "messages",
    whole: (answer) => messageOf(answer, saying),
    voice: () => new MessagesVoice(saying),
    error: (problem) => messagesError(problem, requestId),
  };
}

/**
 * The question for hosts that have the protocol themselves, or null where they would take part of it for nothing, and
 * have to be asked as chat too: an answer that goes on from its beginning, one of a given form, one tool at a time, and
 * which string it was that ended it (what vLLM and llama.cpp make of their routes in 2026).
 */
function nativelyOf(asked: Counted & Partial<Asked>): JsonObject | null {
  const { output_config: config, tool_choice: choice, metadata: _whose, ...rest } = asked;
  const isSingle = choice != null && choice.type !== "none" && choice.disable_parallel_tool_use === true;
  const isLost = isSingle || config?.format != null || (asked.stop_sequences ?? []).length > 0;
  if (isLost || isPrefill(asked)) return null;
  const { system, ...said } = Object.fromEntries(Object.entries(rest).filter(([, value]) => value != null));
  return {
    ...said,
    ...(asked.system.length === 0 ? {} : { system }),
    ...(choice == null ? {} : { tool_choice: choice }),
  };
}
