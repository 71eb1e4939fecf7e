import { describe, expect, test } from "vitest";
import { countersIn } from "#src/jobs/engine-counters.ts";

const VLLM = `# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 1.234e+06
vllm:prompt_tokens_total{engine="1",model_name="a } b {"} 6.0
vllm:prompt_tokens_created{engine="0"} 1.7e9
vllm:generation_tokens_total{engine="0",model_name="m"} 77.0
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
process_start_time_seconds 1.79e+09
`;
const LLAMACPP = `# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 6886
llamacpp:prompt_tokens_seconds 2.37
llamacpp:tokens_predicted_total 3469
llamacpp:tokens_predicted_seconds_total 4278.2
llamacpp:requests_processing 1
llamacpp:requests_deferred 0
`;

describe("what an engine counted", () => {
  test.each<{ name: string; text: string; engine: "vllm" | "llamacpp"; counters: unknown }>([
    {
      name: "vLLM's, over its cores and models",
      text: VLLM,
      engine: "vllm",
      counters: { promptTokens: 1_234_006, completionTokens: 77, inFlight: 3, startedAtS: 1_790_000_000 },
    },
    {
      name: "llama.cpp's",
      text: LLAMACPP,
      engine: "llamacpp",
      counters: { promptTokens: 6886, completionTokens: 3469, inFlight: 1, startedAtS: null },
    },
    {
      name: "a counter of 0 is 0",
      text: "llamacpp:prompt_tokens_total 0\nllamacpp:tokens_predicted_total 0",
      engine: "llamacpp",
      counters: { promptTokens: 0, completionTokens: 0, inFlight: null, startedAtS: null },
    },
    { name: "another engine's say nothing", text: VLLM, engine: "llamacpp", counters: null },
    { name: "one of the two is not enough", text: "vllm:prompt_tokens_total 5\n", engine: "vllm", counters: null },
    { name: "what is no number is not there", text: VLLM.replace(" 77.0", " NaN"), engine: "vllm", counters: null },
    { name: "a comment is none", text: VLLM.replaceAll("\nvllm:gen", "\n#vllm:gen"), engine: "vllm", counters: null },
    { name: "a page of something else", text: "<html>not found</html>", engine: "vllm", counters: null },
    { name: "nothing", text: "", engine: "vllm", counters: null },
    {
      name: "with times and other line ends",
      text: LLAMACPP.replaceAll("\n", " 1790000000000\r\n"),
      engine: "llamacpp",
      counters: { promptTokens: 6886, completionTokens: 3469, inFlight: 1, startedAtS: null },
    },
  ])("$name", ({ text, engine, counters }) => {
    expect(countersIn(text, engine)).toEqual(counters);
  });
});
