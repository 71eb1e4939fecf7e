// vLLM's /v1/audio/transcriptions: a form with a recording, answered whole. It writes no subtitles and no bare text.
import { type EmbedAsk, embed } from "../embed.ts";
import type { Exchange } from "../exchange.ts";
import { BadField, text } from "../fields.ts";
import type { Machine } from "../machine.ts";
import { hear } from "../speech.ts";

/** Whisper's 30 s windows, in its own tokens. */
const TOKENS_PER_SECOND = 50;

/** Answers a transcription in its turn. False when the line is full. @throws BadField */
export function transcribe(
  machine: Machine,
  exchange: Exchange,
  way: Pick<EmbedAsk, "id" | "model" | "headers" | "errorBody">,
): boolean {
  const { body, file } = exchange;
  if (file === null) throw new BadField("file", "Field required", true);
  const format = text(body, "response_format", "json");
  if (format !== "json" && format !== "text" && format !== "verbose_json")
    throw new BadField("response_format", "Currently only support response_format: `text`, `json` or `verbose_json`");
  if (body.stream === "true") throw new BadField("stream", "the lab does not stream transcriptions");
  const heard = hear(file.bytes, text(body, "prompt", ""), machine.options.weights ?? "lab");
  const said =
    format === "verbose_json"
      ? {
          duration: String(heard.seconds),
          language: text(body, "language", "en"),
          text: heard.text,
          segments: heard.segments.map((segment, id) => ({
            id,
            avg_logprob: -0.2,
            compression_ratio: 1.5,
            no_speech_prob: null,
            seek: 0,
            temperature: Number(body.temperature ?? 0),
            tokens: [],
            ...segment,
          })),
          words: null,
        }
      : { text: heard.text, usage: { type: "duration", seconds: Math.ceil(heard.seconds) } };
  // A pass over the sound, and one for each word, which this host makes at once.
  const inputs = [`${"a ".repeat(Math.ceil(heard.seconds * TOKENS_PER_SECOND))}`];
  return embed(machine, exchange, { ...way, inputs, whole: () => said });
}
