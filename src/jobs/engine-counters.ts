/**
 * What an engine counted since it started, from its `/metrics` (Prometheus text format). What it does not say is null
 * and never 0. Pure.
 */
import type { Host } from "#src/catalog/schema.ts";

export type EngineCounters = {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Requests that it held at that moment: their tokens may be in the counters and not in the ledger yet. */
  readonly inFlight: number | null;
  /** When its process began, seconds since the epoch. */
  readonly startedAtS: number | null;
};

/** Names as of vLLM's v1 engine and of llama.cpp's server with `--metrics`. */
const NAMES: Record<
  Exclude<Host["engine"], "openai">,
  { prompt: string; completion: string; inFlight: readonly string[] }
> = {
  vllm: {
    prompt: "vllm:prompt_tokens_total",
    completion: "vllm:generation_tokens_total",
    inFlight: ["vllm:num_requests_running", "vllm:num_requests_waiting"],
  },
  llamacpp: {
    prompt: "llamacpp:prompt_tokens_total",
    completion: "llamacpp:tokens_predicted_total",
    inFlight: ["llamacpp:requests_processing", "llamacpp:requests_deferred"],
  },
};

/** The counters in an exposition, or null when one of the two that count tokens is missing: a cloud has none. */
export function countersIn(exposition: string, engine: Host["engine"]): EngineCounters | null {
  if (engine === "openai") return null;
  const sums = sumsIn(exposition);
  const { prompt, completion, inFlight } = NAMES[engine];
  const promptTokens = sums.get(prompt);
  const completionTokens = sums.get(completion);
  if (promptTokens === undefined || completionTokens === undefined) return null;
  const gauges = inFlight.map((name) => sums.get(name));
  return {
    promptTokens,
    completionTokens,
    inFlight: gauges.reduce<number | null>(
      (sum, gauge) => (sum === null || gauge === undefined ? null : sum + gauge),
      0,
    ),
    startedAtS: sums.get("process_start_time_seconds") ?? null,
  };
}

/** Every name with the sum of its samples: an engine has a sample per model, and one per core that it runs. */
function sumsIn(exposition: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const line of exposition.split("\n")) {
    // A label's value may hold braces and blanks, so the labels end at the last brace.
    const [, name, value] = /^([A-Za-z_:][\w:]*)(?:\{.*\})?[ \t]+(\S+)/.exec(line) ?? [];
    const number = Number(value);
    if (name !== undefined && Number.isFinite(number)) sums.set(name, (sums.get(name) ?? 0) + number);
  }
  return sums;
}
