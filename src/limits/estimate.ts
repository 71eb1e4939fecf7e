/**
 * Tokens of a question before any engine has seen it, without a tokenizer. Two estimates for two uses: `likely` is
 * reserved and corrected at the settle; `least` refuses what cannot fit, so it never exceeds the truth. Pure.
 */
import { isObject, type JsonObject } from "#src/json.ts";

/** English prose has about four bytes to a token in the tokenizers of the models served here. */
const BYTES_PER_TOKEN = 4;
/** What vision encoders make of one image: 576 (LLaVA) to some thousands (Qwen2-VL). */
const TOKENS_PER_IMAGE = 1_024;
/** The longest token without a blank, in characters: rows of one sign (`----`), in vocabularies like that of Llama 3. */
const LONGEST_TOKEN = 128;

/**
 * Prompt tokens as they will probably be counted.
 *
 * @param bodyBytes of the whole document: its members' names stand for what a chat template adds
 */
export function likelyTokens(body: JsonObject, bodyBytes: number): number {
  let mediaBytes = 0;
  let media = 0;
  for (const part of partsOf(body)) {
    for (const value of [part.image_url, part.video_url, part.audio_url]) {
      const url = typeof value === "string" ? value : isObject(value) ? value.url : undefined;
      if (typeof url !== "string") continue;
      mediaBytes += url.length;
      media += 1;
    }
  }
  return Math.ceil(Math.max(0, bodyBytes - mediaBytes) / BYTES_PER_TOKEN) + media * TOKENS_PER_IMAGE;
}

/**
 * Prompt tokens that there are at the very least: one per word, because no tokenizer joins words that blanks part, or
 * the length of the words in the longest tokens there could be. Of several prompts, those of the longest.
 *
 * @param enough counting stops being worth it below this: then 0 is answered, which is also never too many
 */
export function leastTokens(body: JsonObject, enough: number): number {
  const { prompt, input } = body;
  const asked = prompt ?? input;
  if (Array.isArray(asked)) {
    if (asked.every((id) => typeof id === "number")) return asked.length;
    return Math.max(0, ...asked.map((one) => (Array.isArray(one) ? one.length : leastOf([String(one)], enough))));
  }
  if (typeof asked === "string") return leastOf([asked], enough);
  return leastOf(textsOf(body), enough);
}

function leastOf(texts: readonly string[], enough: number): number {
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  // Every word but the last takes two characters: so few cannot hold enough.
  if ((characters + texts.length) / 2 < enough) return 0;
  let tokens = 0;
  for (const text of texts)
    for (const [word] of text.matchAll(/\S+/g)) tokens += Math.max(1, Math.floor(word.length / LONGEST_TOKEN));
  return tokens;
}

/** The text of each message. Its parts are joined, because some chat templates put nothing between them. */
function textsOf(body: JsonObject): string[] {
  return contentsOf(body).map((content) => {
    if (!Array.isArray(content)) return typeof content === "string" ? content : "";
    const texts = content.filter(isObject).map(({ text }) => text);
    return texts.filter((text) => typeof text === "string").join("");
  });
}

/** The parts of messages whose content is a list. */
function partsOf(body: JsonObject): JsonObject[] {
  return contentsOf(body).flatMap((content) => (Array.isArray(content) ? content.filter(isObject) : []));
}

function contentsOf({ messages }: JsonObject): unknown[] {
  return Array.isArray(messages) ? messages.filter(isObject).map(({ content }) => content) : [];
}
