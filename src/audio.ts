/** What a recording costs where an engine does not tell it in tokens. Imports nothing. */

/** Speech as it is mostly sent: MP3 at 128 kbit/s. Uncompressed it is twice as much, in Opus a quarter. */
const BYTES_PER_SECOND = 16_000;
/** OpenAI's transcribing models count ten tokens to a second of sound. */
const TOKENS_PER_SECOND = 10;
/** 150 words a minute at 1.3 tokens each are 3.3. */
const WORD_TOKENS_PER_SECOND = 4;

/** Of the sound and of its words, before any engine has heard it. @param bytes of the file */
export function likelyAudioTokens(bytes: number): { promptTokens: number; completionTokens: number } {
  const seconds = bytes / BYTES_PER_SECOND;
  return {
    promptTokens: Math.ceil(seconds * TOKENS_PER_SECOND),
    completionTokens: Math.ceil(seconds * WORD_TOKENS_PER_SECOND),
  };
}

/** Of the sound, once it is known how long it is. */
export function audioTokens(seconds: number): number {
  return Math.ceil(seconds * TOKENS_PER_SECOND);
}
