// Slots, the line before them, callers who leave, pace, and what the host writes down of it all.
import { describe, expect, test } from "vitest";
import type { LabHost } from "#scripts/lab/host.ts";
import { loadOf } from "#src/fleet/load.ts";
import { answerOf, ask, askRaw, chatBody, chunksOf, hostFor, truthOf, until } from "./asking.ts";

const CHAT = "/v1/chat/completions";
const long = (more: object = {}): object => chatBody("[[tokens=4000]]", { ...more });

/** One gauge or counter of /metrics, summed over its labels. */
async function metric(host: LabHost, name: string): Promise<number> {
  const { text } = await ask(host, "/metrics");
  const found = text.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return found.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

describe("a caller who leaves", () => {
  test.each([
    ["while tokens flow", { stream: true }, { tokensPerSecond: 100 }, 1],
    ["before the first token", { stream: true }, { ttftMs: 60_000 }, 0],
    ["waiting for a whole reply", {}, { tokensPerSecond: 100 }, 1],
  ])("%s: the slot is free at once and truth says aborted", async (_name, more, pace, least) => {
    const host = await hostFor({ ...pace, slots: 1 });
    const left = await askRaw(host, CHAT, long(more), 120);
    expect(left.ended).toBe("left");
    const [entry] = await until(
      () => truthOf(host),
      ([first]) => first?.ended === "aborted",
    );
    expect(entry?.completionTokens).toBeGreaterThanOrEqual(least);
    expect(entry?.completionTokens).toBeLessThan(4000);
    expect(await metric(host, "vllm:num_requests_running")).toBe(0);
    await ask(host, "/lab/pace", { ttftMs: 0, tokensPerSecond: 5000 });
    expect((await ask(host, CHAT, chatBody("x"))).status).toBe(200);
  });

  test("tokens of a stream are those whose events reached the socket", async () => {
    const host = await hostFor({ tokensPerSecond: 100 });
    const { bytes } = await askRaw(host, CHAT, long({ stream: true }), 200);
    const [entry] = await until(
      () => truthOf(host),
      ([first]) => first?.ended === "aborted",
    );
    const received = bytes.toString().split("\n\n").length - 2;
    expect(entry?.completionTokens).toBeGreaterThanOrEqual(received);
    expect(entry?.completionTokens).toBeLessThanOrEqual(received + 20);
  });

  test("in the line: the place is given up, the runner is not disturbed", async () => {
    const host = await hostFor({ slots: 1, tokensPerSecond: 400 });
    const running = ask(host, CHAT, chatBody("[[tokens=100]]", { stream: true }));
    await until(
      () => metric(host, "vllm:num_requests_running"),
      (now) => now === 1,
    );
    await askRaw(host, CHAT, long({ stream: true }), 40);
    const [, second] = await until(
      () => truthOf(host),
      (entries) => entries[1]?.ended === "aborted",
    );
    expect(second).toMatchObject({ completionTokens: 0 });
    expect(await metric(host, "vllm:num_requests_waiting")).toBe(0);
    expect(chunksOf((await running).text)).toHaveLength(102);
  });

  test("an embedding is aborted too", async () => {
    const host = await hostFor({ ttftMs: 10_000 });
    await askRaw(host, "/v1/embeddings", { input: "x" }, 30);
    await until(
      () => truthOf(host),
      ([entry]) => entry?.ended === "aborted",
    );
  });
});

describe("the line", () => {
  test("the most at once is what ran and waited together, until it is forgotten", async () => {
    const host = await hostFor({ slots: 1, tokensPerSecond: 400 });
    const load = async (init?: RequestInit): Promise<unknown> => (await fetch(`${host.url}/lab/load`, init)).json();
    const three = [1, 2, 3].map(() => ask(host, CHAT, chatBody("[[tokens=40]]", { stream: true })));
    await until(load, (now) => JSON.stringify(now) === JSON.stringify({ running: 1, waiting: 2, most: 3, open: 3 }));
    await Promise.all(three);
    expect(await load()).toEqual({ running: 0, waiting: 0, most: 3, open: 0 });
    expect(await load({ method: "DELETE" })).toEqual({ running: 0, waiting: 0, most: 0, open: 0 });
  });

  test.each([
    ["vllm", "vllm:num_requests_running", "vllm:num_requests_waiting"],
    ["llamacpp", "llamacpp:requests_processing", "llamacpp:requests_deferred"],
  ] as const)(
    "%s: slots run at once, all others wait without limit, first come first served",
    async (engine, running, waiting) => {
      const host = await hostFor({ engine, slots: 2, tokensPerSecond: 500 });
      const asked = Array.from({ length: 8 }, (_, index) => ask(host, CHAT, chatBody(`${index} [[tokens=60]]`)));
      await until(
        () => metric(host, waiting),
        (now) => now === 6,
      );
      expect(await metric(host, running)).toBe(2);
      for (const { status } of await Promise.all(asked)) expect(status).toBe(200);
      const ends = (await truthOf(host)).map((entry) => entry.endedAtMs ?? 0);
      expect(ends).toEqual([...ends].sort((a, b) => a - b));
      expect(await metric(host, running)).toBe(0);
    },
  );

  test("bounded: the one too many is refused in the engine's words, and is no generation", async () => {
    const host = await hostFor({ slots: 1, maxQueued: 1, tokensPerSecond: 50 });
    const leaving = [askRaw(host, CHAT, long(), 300), askRaw(host, CHAT, long(), 300)];
    await until(
      () => metric(host, "vllm:num_requests_waiting"),
      (now) => now === 1,
    );
    const refused = await ask(host, CHAT, chatBody("x"));
    expect(refused).toMatchObject({ status: 503, json: { error: { code: 503, type: "ServiceUnavailableError" } } });
    expect(await metric(host, "vllm:admission_rejections_total")).toBe(1);
    expect(await truthOf(host)).toHaveLength(2);
    await ask(host, "/lab/pace", { maxQueued: null, slots: 3, tokensPerSecond: 5000 });
    expect((await ask(host, CHAT, chatBody("x"))).status).toBe(200);
    await Promise.all(leaving);
  });
});

describe("pace", () => {
  test("is read and changed in parts; wrong values are refused and change nothing", async () => {
    const host = await hostFor();
    expect((await ask(host, "/lab/pace")).json).toEqual({
      ttftMs: 5,
      tokensPerSecond: 2000,
      slots: 4,
      maxQueued: null,
    });
    await ask(host, "/lab/pace", { slots: 1 });
    for (const wrong of [{ slots: 0 }, { ttftMs: -1 }, { tokensPerSecond: 0 }, { slots: 9, ttftMs: "x" }])
      expect((await ask(host, "/lab/pace", wrong)).status).toBe(400);
    expect((await ask(host, "/lab/pace")).json).toMatchObject({ slots: 1, ttftMs: 5, tokensPerSecond: 2000 });
  });
});

describe("what is written down", () => {
  test("truth is in order, ongoing entries are open, DELETE empties it", async () => {
    const host = await hostFor({ tokensPerSecond: 50 });
    const leaving = askRaw(host, CHAT, long({ stream: true }), 150);
    const [entry] = await until(
      () => truthOf(host),
      (entries) => entries.length === 1,
    );
    expect(entry).toMatchObject({ ended: null, endedAtMs: null, model: "llama", promptTokens: 9 });
    await leaving;
    await ask(host, "/lab/truth", undefined, { method: "DELETE" });
    expect(await truthOf(host)).toEqual([]);
  });

  test("the journal keeps what reached the engine, but no credential", async () => {
    const host = await hostFor({ apiKey: "secret-key" });
    const headers = { authorization: "Bearer secret-key", "x-mark": "7" };
    await ask(host, CHAT, chatBody("hello"), { headers });
    await ask(host, "/health");
    const { json, text } = await ask(host, "/lab/requests");
    expect(json).toMatchObject([
      { method: "POST", path: CHAT, authorization: true, headers: { "x-mark": "7" }, body: { model: "llama" } },
      { method: "GET", path: "/health", authorization: false },
    ]);
    expect(text).not.toContain("secret-key");
    for (let each = 0; each < 60; each += 1) await ask(host, "/ping");
    expect((await ask(host, "/lab/requests")).json).toHaveLength(50);
    await ask(host, "/lab/requests", undefined, { method: "DELETE" });
    expect((await ask(host, "/lab/requests")).json).toEqual([]);
  });

  test("unknown lab routes and methods say what there is", async () => {
    const host = await hostFor();
    expect((await ask(host, "/lab/nothing")).status).toBe(404);
    const wrong = await ask(host, "/lab/truth", {});
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, DELETE"]);
  });
});

describe("metrics", () => {
  const sample = /^[a-zA-Z_:][\w:]*(\{([a-z_]+="[^"]*",?)*\})? (\d+(\.\d+)?(e[+-]\d+)?)$/;

  test.each([
    ["vllm", "vllm:"],
    ["llamacpp", "llamacpp:"],
  ] as const)("%s: every sample parses and follows its HELP and TYPE", async (engine, prefix) => {
    const host = await hostFor({ engine, models: ['odd"name'] });
    await ask(host, CHAT, { messages: [{ role: "user", content: "x [[tokens=12]]" }] });
    let family = "";
    for (const line of (await ask(host, "/metrics")).text.trimEnd().split("\n")) {
      const head = /^# (?:HELP|TYPE) (\S+) \S/.exec(line);
      if (head) family = head[1] ?? "";
      else expect([line.replace('\\"', ""), line.startsWith(family)]).toEqual([expect.stringMatching(sample), true]);
      expect(family.startsWith(prefix)).toBe(true);
    }
  });

  test("vLLM counts tokens, ends and times; histograms add up", async () => {
    const host = await hostFor();
    await ask(host, CHAT, chatBody("x [[tokens=12]]"));
    await ask(host, CHAT, chatBody("x [[tokens=12]]", { max_tokens: 2, stream: true }));
    const { text } = await ask(host, "/metrics");
    expect(text).toContain('vllm:generation_tokens_total{engine="0",model_name="llama"} 14.0');
    expect(text).toContain('vllm:request_success_total{engine="0",finished_reason="length",model_name="llama"} 1.0');
    expect(text).toContain('vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="llama"} 2.0');
    expect(text).toContain('vllm:e2e_request_latency_seconds_count{engine="0",model_name="llama"} 2.0');
    expect(text).toContain("# TYPE vllm:e2e_request_latency_seconds histogram");
  });

  test("a repeated prefix is found in the cache: usage, counters and timings say so", async () => {
    const host = await hostFor();
    const body = chatBody("a long shared beginning ".repeat(20));
    const first = (await ask(host, CHAT, body)).json.usage;
    const again = (await ask(host, CHAT, body)).json.usage;
    expect(first.prompt_tokens_details).toBeNull();
    expect(again.prompt_tokens_details.cached_tokens % 16).toBe(0);
    expect(again.prompt_tokens_details.cached_tokens).toBeGreaterThan(48);
    const salted = (await ask(host, CHAT, { ...body, cache_salt: "other tenant" })).json.usage;
    expect(salted.prompt_tokens_details).toBeNull();
    expect(await metric(host, "vllm:prefix_cache_queries_total")).toBe(3 * first.prompt_tokens);
    expect(await metric(host, "vllm:prefix_cache_hits_total")).toBe(again.prompt_tokens_details.cached_tokens);
  });

  test.each([
    { engine: "vllm", counter: "vllm:prompt_tokens_total", counts: "given" },
    { engine: "llamacpp", counter: "llamacpp:prompt_tokens_total", counts: "computed" },
  ] as const)("$engine counts the prompt tokens that were $counts", async ({ engine, counter, counts }) => {
    const host = await hostFor({ engine });
    const body = chatBody("a long shared beginning ".repeat(20));
    const { usage: first } = (await ask(host, CHAT, body)).json;
    const { usage: again } = (await ask(host, CHAT, body)).json;
    const cached = again.prompt_tokens_details.cached_tokens;
    expect(cached).toBeGreaterThan(48);
    const given = first.prompt_tokens + again.prompt_tokens;
    expect(await metric(host, counter)).toBe(counts === "given" ? given : given - cached);
  });

  test("the KV cache is used by what runs, and by nothing that only lies in it", async () => {
    const host = await hostFor({ slots: 3, tokensPerSecond: 20 });
    const block = 1 / 4096;
    const used = async () => (await metric(host, "vllm:kv_cache_usage_perc")) / block;
    const running = () => metric(host, "vllm:num_requests_running");
    await ask(host, CHAT, chatBody("warm ".repeat(400), { max_tokens: 1 }));
    expect(await used()).toBe(0);
    const leave = new AbortController();
    const { signal } = leave;
    const going: Promise<void>[] = [];
    const start = (text: string): void => {
      const body = chatBody(text, { ignore_eos: true, max_tokens: 1_000 });
      going.push(expect(ask(host, CHAT, body, { signal })).rejects.toThrow());
    };
    // Two that have nothing in common, a hundred blocks each; what they make takes a block in almost a second.
    start("one ".repeat(1_600));
    start("two ".repeat(1_600));
    await until(running, (now) => now === 2);
    expect(await used()).toBeGreaterThan(200);
    expect(await used()).toBeLessThan(290);
    // One that begins as another does shares its blocks, and one that waits holds none.
    start("two ".repeat(1_600));
    start("three ".repeat(1_600));
    await until(running, (now) => now === 3);
    expect(await used()).toBeLessThan(290);
    leave.abort();
    await Promise.all(going);
    await until(used, (now) => now === 0);
  });

  test.each([
    { engine: "vllm", load: { running: 1, waiting: 1, kvUsage: expect.any(Number) } },
    { engine: "llamacpp", load: { running: 1, waiting: 1, kvUsage: null } },
  ] as const)("$engine: what the gateway's probe reads of it is so", async ({ engine, load }) => {
    const host = await hostFor({ engine, slots: 1, tokensPerSecond: 50 });
    const read = async () => loadOf(engine, (await ask(host, "/metrics")).text);
    const idle = { running: 0, waiting: 0, kvUsage: engine === "vllm" ? 0 : null };
    expect(await read()).toEqual(idle);
    const leave = new AbortController();
    const { signal } = leave;
    const going = [1, 2].map(() => expect(ask(host, CHAT, long(), { signal })).rejects.toThrow());
    expect(await until(read, ({ waiting }) => waiting === 1)).toEqual(load);
    leave.abort();
    await Promise.all(going);
    expect(await until(read, ({ running }) => running === 0)).toEqual(idle);
  });
});

describe("an answer that moves to another host", () => {
  test("is continued through chat, raw and native routes to the same text, and stops at the same place", async () => {
    const gpu = await hostFor();
    const jetson = await hostFor({ engine: "llamacpp", id: "jetson" });
    const asked = chatBody("Tell me [[tokens=24]]");
    const whole = await answerOf(gpu, CHAT, asked);
    const { prompt } = (await ask(jetson, "/apply-template", asked)).json;
    for (const cut of [0, 1, 17, Math.floor(whole.length / 2), whole.length]) {
      const said = whole.slice(0, cut);
      const messages = [
        { role: "user", content: "Tell me [[tokens=24]]" },
        { role: "assistant", content: said },
      ];
      const open = { messages, continue_final_message: true, add_generation_prompt: false };
      expect(said + (await answerOf(gpu, CHAT, open))).toBe(whole);
      expect(said + (await answerOf(jetson, CHAT, open))).toBe(whole);
      expect(said + (await answerOf(gpu, "/v1/completions", { prompt: prompt + said, max_tokens: 100 }))).toBe(whole);
      expect(said + (await answerOf(jetson, "/completion", { prompt: prompt + said }))).toBe(whole);
    }
  });
});
