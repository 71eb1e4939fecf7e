// What llama.cpp tells of itself: /slots, /props, /v1/models, /metrics. Pure readings of the machine.
import { Exposition } from "../exposition.ts";
import type { Machine } from "../machine.ts";
import { BUILD_INFO, settings } from "./timings.ts";

/** The body of /slots; the second value is the number of slots that are free. */
export function slots(machine: Machine): readonly [unknown, number] {
  const { options, pace, jobs } = machine;
  const bySlot = new Map([...jobs].map((job) => [job.slot(), job]));
  const list = Array.from({ length: pace.slots }, (_, id) => {
    const job = bySlot.get(id);
    const idle = { id, n_ctx: options.contextTokens, speculative: false, is_processing: job !== undefined };
    if (job === undefined) return idle;
    const { number, maxTokens, stream } = job;
    const decoded = job.decoded();
    return {
      ...idle,
      id_task: number,
      params: settings({ maxTokens, stop: [], ignoreEos: false }, stream),
      next_token: [{ has_next_token: true, has_new_line: false, n_remain: maxTokens - decoded, n_decoded: decoded }],
    };
  });
  return [list, pace.slots - machine.scheduler.running];
}

/** The body of /props. */
export function props({ options, pace }: Machine): unknown {
  const params = settings({ maxTokens: -1, stop: [], ignoreEos: false }, true);
  return {
    default_generation_settings: { params, n_ctx: options.contextTokens },
    total_slots: pace.slots,
    model_alias: options.models[0],
    model_path: `/models/${options.models[0]}.gguf`,
    modalities: { vision: false, audio: false },
    endpoint_slots: true,
    endpoint_props: false,
    endpoint_metrics: true,
    webui: false,
    chat_template: "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}<|assistant|>\n",
    bos_token: "<|begin|>",
    eos_token: "<|end|>",
    build_info: BUILD_INFO,
    is_sleeping: false,
  };
}

/** The body of /v1/models: one model, whatever names callers may use, told in OpenAI's words and in Ollama's. */
export function modelList({ options, startedAtMs }: Machine): unknown {
  const id = options.models[0] ?? "";
  const meta = {
    vocab_type: 2,
    n_vocab: 100_000,
    n_ctx_train: options.contextTokens,
    n_embd: options.embeddingDimensions ?? 384,
    n_params: 8_030_261_312,
    size: 4_912_898_304,
  };
  const created = Math.floor(startedAtMs / 1000);
  return {
    models: [
      { name: id, model: id, modified_at: "", size: "", digest: "", type: "model", capabilities: ["completion"] },
    ],
    object: "list",
    data: [{ id, object: "model", created, owned_by: "llamacpp", meta }],
  };
}

/** The body of /metrics. */
export function llamacppMetrics({ meters, scheduler, jobs }: Machine): string {
  const out = new Exposition("llamacpp:", {}, false);
  const perSecond = (tokens: number, ms: number): number => (ms > 0 ? (1000 * tokens) / ms : 0);
  const decoding = [...jobs].reduce((sum, job) => sum + job.decoded(), 0);
  const { computedPromptTokens: promptTokens, promptMs, generatedTokens, generatedMs } = meters;
  out.single("counter", "prompt_tokens_total", "Number of prompt tokens processed.", promptTokens);
  out.single("counter", "prompt_seconds_total", "Prompt process time", promptMs / 1000);
  out.single("counter", "tokens_predicted_total", "Number of generation tokens processed.", generatedTokens);
  out.single("counter", "tokens_predicted_seconds_total", "Predict process time", generatedMs / 1000);
  out.single("counter", "n_decode_total", "Total number of llama_decode() calls", generatedTokens + decoding);
  out.single("counter", "n_tokens_max", "Largest observed n_tokens.", meters.largestContext);
  out.single(
    "counter",
    "n_busy_slots_per_decode",
    "Average number of busy slots per llama_decode() call",
    scheduler.running,
  );
  out.single(
    "gauge",
    "prompt_tokens_seconds",
    "Average prompt throughput in tokens/s.",
    perSecond(promptTokens, promptMs),
  );
  out.single(
    "gauge",
    "predicted_tokens_seconds",
    "Average generation throughput in tokens/s.",
    perSecond(generatedTokens, generatedMs),
  );
  out.single("gauge", "requests_processing", "Number of requests processing.", scheduler.running);
  out.single("gauge", "requests_deferred", "Number of requests deferred.", scheduler.waiting);
  return out.toString();
}
