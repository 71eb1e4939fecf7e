// GET /metrics of a vLLM server (v1 engine). Counters carry `_total`, as Python's client writes them.
import { Exposition } from "../exposition.ts";
import { kvUsage } from "../kv-usage.ts";
import type { Machine } from "../machine.ts";

/** The exposition; labels are `engine` and `model_name` of the first served name. */
export function vllmMetrics({ meters, scheduler, prefixCache, options, jobs }: Machine): string {
  const out = new Exposition("vllm:", { engine: "0", model_name: options.models[0] ?? "" }, true);
  out.single("gauge", "num_requests_running", "Number of requests in model execution batches.", scheduler.running);
  out.single("gauge", "num_requests_waiting", "Number of requests waiting to be processed.", scheduler.waiting);
  out.single("gauge", "kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", kvUsage(jobs));
  out.single(
    "counter",
    "prefix_cache_queries_total",
    "Prefix cache queries, in terms of number of queried tokens.",
    prefixCache.queriedTokens,
  );
  out.single(
    "counter",
    "prefix_cache_hits_total",
    "Prefix cache hits, in terms of number of cached tokens.",
    prefixCache.hitTokens,
  );
  out.single("counter", "num_preemptions_total", "Cumulative number of preemption from the engine.", 0);
  out.single("counter", "prompt_tokens_total", "Number of prefill tokens processed.", meters.promptTokens);
  out.single("counter", "generation_tokens_total", "Number of generation tokens processed.", meters.generatedTokens);
  const { stop, length, aborted, fault } = meters.ended;
  out.family("counter", "request_success_total", "Count of successfully processed requests.", [
    [{ finished_reason: "stop" }, stop],
    [{ finished_reason: "length" }, length],
    [{ finished_reason: "abort" }, aborted],
    [{ finished_reason: "error" }, fault],
  ]);
  out.family("counter", "admission_rejections_total", "Count of requests rejected at admission.", [
    [{ reason: "max_num_queued_reqs" }, meters.rejected],
    [{ reason: "max_num_queued_tokens" }, 0],
  ]);
  out.histogram("time_to_first_token_seconds", "Histogram of time to first token in seconds.", meters.firstToken);
  out.histogram("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", meters.betweenTokens);
  out.histogram("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", meters.request);
  out.histogram("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", meters.queued);
  out.histogram(
    "request_prefill_time_seconds",
    "Histogram of time spent in PREFILL phase for request.",
    meters.prefill,
  );
  out.histogram("request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", meters.decode);
  return out.toString();
}
