/**
 * What an engine says of its own load, read from its Prometheus text. Pure. What is not said is null, never 0: old builds
 * and servers without `--metrics` tell nothing, and a host that tells nothing is not an idle one.
 */

export type HostLoad = {
  /** Requests that the engine works on. */
  readonly running: number | null;
  /** Requests that wait inside the engine. */
  readonly waiting: number | null;
  /** Part of the KV cache in use, 0 to 1. */
  readonly kvUsage: number | null;
};

export const UNKNOWN_LOAD: HostLoad = { running: null, waiting: null, kvUsage: null };

/** By engine, each with its older names: the first that is there counts. */
const NAMES = {
  vllm: {
    running: ["vllm:num_requests_running"],
    waiting: ["vllm:num_requests_waiting"],
    // Renamed in v1; deprecated about 0.10 and then removed.
    kvUsage: ["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
  },
  llamacpp: {
    running: ["llamacpp:requests_processing"],
    waiting: ["llamacpp:requests_deferred"],
    // Removed from newer builds.
    kvUsage: ["llamacpp:kv_cache_usage_ratio"],
  },
} as const;

/** Larger expositions are not read to their end: the gauges stand first, and a host may be hostile. */
export const MAX_EXPOSITION_BYTES = 512 * 1024;

/**
 * Reads the load out of `/metrics`.
 *
 * @param text Prometheus exposition format, or anything at all
 */
export function loadOf(engine: keyof typeof NAMES, text: string): HostLoad {
  const samples = samplesOf(text);
  const first = (names: readonly string[]): number[] | undefined =>
    names.map((name) => samples.get(name)).find((values) => values !== undefined);
  const { running, waiting, kvUsage } = NAMES[engine];
  return {
    running: total(first(running)),
    waiting: total(first(waiting)),
    // Several engines behind one server: the fullest one decides who gets preempted.
    kvUsage: fullest(first(kvUsage)),
  };
}

/** `name{labels} value timestamp?` by name, one value per label set. */
function samplesOf(text: string): Map<string, number[]> {
  const samples = new Map<string, number[]>();
  for (const line of text.split("\n")) {
    const match = /^([A-Za-z_:][\w:]*)(?:\{.*\})?\s+(\S+)/.exec(line);
    const value = Number(match?.[2] ?? Number.NaN);
    if (match?.[1] === undefined || !Number.isFinite(value)) continue;
    samples.set(match[1], [...(samples.get(match[1]) ?? []), value]);
  }
  return samples;
}

function total(values: readonly number[] | undefined): number | null {
  return values === undefined ? null : Math.max(0, Math.round(values.reduce((sum, value) => sum + value, 0)));
}

function fullest(values: readonly number[] | undefined): number | null {
  return values === undefined ? null : Math.min(1, Math.max(0, ...values));
}
