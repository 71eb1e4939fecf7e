import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type HostLoad, loadOf, UNKNOWN_LOAD } from "#src/fleet/load.ts";

/** As vLLM's v1 engine writes it, with two engines behind one server. */
const VLLM = `# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 12345.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 3.0
vllm:num_requests_running{engine="1",model_name="meta-llama/Llama-3.1-8B-Instruct"} 4.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.0
vllm:num_requests_waiting{engine="1",model_name="meta-llama/Llama-3.1-8B-Instruct"} 2.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.0625
vllm:kv_cache_usage_perc{engine="1",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.8125
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 7.0
`;
/** As llama.cpp writes it with `--metrics`: no labels, and no KV cache any more. */
const LLAMACPP = `# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 6886
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
# HELP llamacpp:requests_deferred Number of requests deferred.
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 0
`;
const RUNNING = "vllm:num_requests_running";

describe("an engine's load", () => {
  test.each<{ name: string; engine?: "vllm" | "llamacpp" | "openai"; text: string; load: Partial<HostLoad> }>([
    {
      name: "vLLM's: sums over its engines, and the fullest",
      text: VLLM,
      load: { running: 7, waiting: 2, kvUsage: 0.8125 },
    },
    {
      name: "vLLM's before the cache's gauge was renamed",
      text: VLLM.replaceAll("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
      load: { running: 7, waiting: 2, kvUsage: 0.8125 },
    },
    {
      name: "both names: the new one counts",
      text: `vllm:gpu_cache_usage_perc 0.9\nvllm:kv_cache_usage_perc 0.1`,
      load: { kvUsage: 0.1 },
    },
    { name: "llama.cpp's", engine: "llamacpp", text: LLAMACPP, load: { running: 2, waiting: 0 } },
    {
      name: "llama.cpp's when it still told of its cache",
      engine: "llamacpp",
      text: `${LLAMACPP}llamacpp:kv_cache_usage_ratio 0.5\n`,
      load: { running: 2, waiting: 0, kvUsage: 0.5 },
    },
    { name: "another engine's says nothing", engine: "llamacpp", text: VLLM, load: {} },
    { name: "a cloud's says nothing", engine: "openai", text: VLLM, load: {} },
    { name: "0 is 0", text: `${RUNNING}{engine="0"} 0.0`, load: { running: 0 } },
    { name: "a sum beside a name that is missing", text: `${RUNNING} 5`, load: { running: 5 } },
    {
      name: "labels with braces, quotes, blanks and a comma",
      text: `${RUNNING}{engine="0",model_name="a } 9 {\\" x, \\\\"} 4.0`,
      load: { running: 4 },
    },
    { name: "an exemplar behind it", text: `${RUNNING}{engine="0"} 4 # {trace_id="7"} 1.0`, load: { running: 4 } },
    {
      name: "times, tabs and other line ends",
      text: `${RUNNING}{engine="0"}\t4.0 1790000000000\r\n`,
      load: { running: 4 },
    },
    { name: "in powers of ten", text: `${RUNNING} 1.2e+01`, load: { running: 12 } },
    {
      name: "one engine of two that does not tell",
      text: `${RUNNING}{engine="0"} 4\n${RUNNING}{engine="1"} NaN`,
      load: {},
    },
    { name: "endlessly many", text: `${RUNNING} +Inf\nvllm:kv_cache_usage_perc +Inf`, load: {} },
    { name: "less than none", text: `${RUNNING} -1\nvllm:kv_cache_usage_perc -0.1`, load: {} },
    { name: "more than there can be", text: `${RUNNING} 1e300`, load: {} },
    { name: "a cache that is over-full", text: "vllm:kv_cache_usage_perc 1.0000001", load: { kvUsage: 1 } },
    { name: "a comment", text: `# ${RUNNING} 4`, load: {} },
    { name: "a name that goes on", text: `${RUNNING}_total 4\nx${RUNNING} 5`, load: {} },
    { name: "labels that do not end", text: `${RUNNING}{engine="0 4`, load: {} },
    { name: "a page of something else", text: "<html><body>404 4</body></html>", load: {} },
    { name: "nothing", text: "", load: {} },
  ])("$name", ({ engine = "vllm", text, load }) => {
    expect(loadOf(engine, text)).toEqual({ ...UNKNOWN_LOAD, ...load });
  });

  test("whatever it says, what is read is a load or unknown", () => {
    const line = fc.tuple(
      fc.constantFrom(RUNNING, "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "x"),
      fc.constantFrom("", "{}", '{a="b"}', '{a="', "{"),
      fc.oneof(fc.double(), fc.string()),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const text = lines.map(([name, labels, value]) => `${name}${labels} ${value}`).join("\n");
        const { running, waiting, kvUsage } = loadOf("vllm", text);
        for (const count of [running, waiting])
          expect(count === null || (Number.isInteger(count) && count >= 0 && count <= 1_000_000)).toBe(true);
        expect(kvUsage === null || (kvUsage >= 0 && kvUsage <= 1)).toBe(true);
      }),
    );
  });

  test.each([
    { name: "one name again and again", text: `${RUNNING} 0\n`.repeat(50_000) },
    { name: "a label that does not end", text: `${RUNNING}{${'a="b",'.repeat(150_000)}` },
    { name: "braces", text: `${RUNNING}${"{".repeat(500_000)}${"} ".repeat(200_000)}` },
    { name: "quotes", text: `${RUNNING}{${'"'.repeat(500_001)} 4` },
    { name: "blanks", text: `${RUNNING}${" ".repeat(1_000_000)}` },
  ])("a mebibyte of $name is read in one go", ({ text }) => {
    // A reader that takes the square of it would take minutes, and the test's own time limit strikes.
    expect([null, 0]).toContain(loadOf("vllm", text).running);
  });
});
