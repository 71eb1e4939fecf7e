// What a lab model hears in a recording: words that follow from its bytes alone, one a second's quarter. Pure.
import { createHash } from "node:crypto";
import { answer } from "./answer.ts";
import { countTokens } from "./tokens.ts";

/** 16 kHz, 16 bit, one channel. */
const BYTES_PER_SECOND = 32_000;
const WORDS_PER_SEGMENT = 8;

export interface Heard {
  readonly text: string;
  readonly seconds: number;
  readonly tokens: number;
  readonly segments: readonly { readonly start: number; readonly end: number; readonly text: string }[];
}

/** @param prompt the caller's hint, which steers the words as it does in Whisper */
export function hear(bytes: Buffer, prompt: string, weights: string): Heard {
  const heard = createHash("sha256").update(bytes).digest("hex");
  const voice = answer(`${prompt}\n${heard}`, { weights, shift: 0 });
  let text = "";
  for (let token = voice.next(); token !== null; token = voice.next()) text += token;
  const words = text.split(/\s+/).filter((word) => word !== "");
  const seconds = bytes.length / BYTES_PER_SECOND;
  const count = Math.max(1, Math.ceil(words.length / WORDS_PER_SEGMENT));
  const segments = Array.from({ length: count }, (_, at) => ({
    start: (seconds * at) / count,
    end: (seconds * (at + 1)) / count,
    text: ` ${words.slice(at * WORDS_PER_SEGMENT, (at + 1) * WORDS_PER_SEGMENT).join(" ")}`,
  }));
  return { text: ` ${words.join(" ")}`, seconds, tokens: countTokens(text), segments };
}
