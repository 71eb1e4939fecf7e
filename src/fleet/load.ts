/**
 * What an engine says of its own load, read from its Prometheus text. Pure. What is not said is null, never 0: old builds
 * and servers without `--metrics` tell nothing, and a host that tells nothing is not an idle one.
 */
import type { Host } from "#src/catalog/schema.ts";

export type HostLoad = {
  /** Requests that the engine works on. */
  readonly running: number | null;
  /** Requests that wait inside the engine. */
  readonly waiting: number | null;
  /** Part of the KV cache in use, 0 to 1. */
  readonly kvUsage: number | null;
};

export const UNKNOWN_LOAD: HostLoad = { running: null, waiting: null, kvUsage: null };

type Names = Readonly<Record<keyof HostLoad, readonly string[]>>;

/** By engine, each with its older names: the first that is there counts. A service in the cloud tells nothing. */
const NAMES: Readonly<Record<Exclude<Host["engine"], "openai">, Names>> = {
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
};

/** More than any host has in hand: what claims to be more is no count. */
const MOST_REQUESTS = 1_000_000;

/**
 * Reads the load out of `/metrics`.
 *
 * @param text Prometheus exposition format, or anything at all
 */
export function loadOf(engine: Host["engine"], text: string): HostLoad {
  if (engine === "openai") return UNKNOWN_LOAD;
  const { running, waiting, kvUsage } = NAMES[engine];
  const samples = samplesOf(text, new Set([...running, ...waiting, ...kvUsage]));
  const first = (names: readonly string[]): readonly number[] =>
    names.map((name) => samples.get(name)).find((values) => values !== undefined) ?? [];
  return {
    running: total(first(running)),
    waiting: total(first(waiting)),
    // Several engines behind one server: the fullest one decides who gets preempted.
    kvUsage: fullest(first(kvUsage)),
  };
}

/** `name{labels} value timestamp?`. A label's value may hold braces and blanks. */
const SAMPLE = /^([A-Za-z_:][\w:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+(\S+)/;

/** The values of the names that are wanted, one for each label set; of what cannot be read, NaN. */
function samplesOf(text: string, wanted: ReadonlySet<string>): Map<string, number[]> {
  const samples = new Map<string, number[]>();
  for (const line of text.split("\n")) {
    const [, name, value] = SAMPLE.exec(line) ?? [];
    if (name === undefined || !wanted.has(name)) continue;
    const values = samples.get(name) ?? [];
    values.push(Number(value));
    samples.set(name, values);
  }
  return samples;
}

/** The sum over engines and models; unknown where one of them is. */
function total(values: readonly number[]): number | null {
  if (values.length === 0 || !values.every((value) => value >= 0)) return null;
  const sum = values.reduce((sum, value) => sum + value, 0);
  return sum <= MOST_REQUESTS ? Math.round(sum) : null;
}

function fullest(values: readonly number[]): number | null {
  if (values.length === 0 || !values.every((value) => value >= 0 && Number.isFinite(value))) return null;
  return Math.min(
    1,
    values.reduce((most, value) => Math.max(most, value), 0),
  );
}
