import OpenAI from "openai";
import { afterEach, describe, expect, test } from "vitest";
import { ask, clearFaults, clientOf, rowOf, setFault, truthOf } from "./world.ts";

/** Models with one host each, so that nothing hides its failure; several, so that no breaker opens. */
const HOST = "cpu-hermes";
const MODEL = "hermes-2";
const [STREAM_HOST, STREAM_MODEL] = ["cpu-openchat", "openchat-3.5"];
const [WHOLE_HOST, WHOLE_MODEL] = ["cpu-mixtral", "mixtral-8x7b"];
const TOKENS = 12;

const body = (stream: boolean, about: string, model = MODEL) =>
  JSON.stringify({
    model,
    stream,
    temperature: 1,
    messages: [{ role: "user", content: `${about} [[tokens=${TOKENS}]]` }],
  });
const post = (stream: boolean, about: string, model = MODEL) =>
  ask("/v1/chat/completions", { method: "POST", as: "enterprise", body: body(stream, about, model) });

afterEach(() => Promise.all([HOST, STREAM_HOST, WHOLE_HOST, "gpu", "cpu-phi3"].map((host) => clearFaults(host))));

describe("a host that fails before its answer begins", () => {
  test.each(
    [
      { kind: "500", host: HOST, model: MODEL, status: 502, code: "upstream_error" },
      { kind: "html-502", host: WHOLE_HOST, model: WHOLE_MODEL, status: 502, code: "upstream_error" },
      { kind: "redirect", host: HOST, model: MODEL, status: 502, code: "upstream_refused" },
      { kind: "rate-limited", host: WHOLE_HOST, model: WHOLE_MODEL, status: 503, code: "host_busy" },
    ].flatMap((row) => [true, false].map((stream) => ({ ...row, stream }))),
  )("$kind, stream: $stream -> $status $code", async ({ kind, host, model, status, code, stream }) => {
    await setFault(host, { kind });
    const response = await post(stream, kind, model);
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("ratelimit")).toMatch(/^"rpm";r=\d+;t=\d+/);
    if (status === 503) expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(await response.json()).toMatchObject({ error: { code, type: "server_error", param: null } });
    const row = await rowOf(response.headers.get("x-request-id") ?? "");
    expect(row).toMatchObject({ outcome: "upstream_error", host, attempts: 1, tokens_used: 0 });
  });

  test.each(["refuse", "503-loading"])("%s, which probes see as well", async (kind) => {
    await setFault("cpu-phi3", { kind });
    const response = await post(true, kind, "phi-3-mini");
    expect([502, 503]).toContain(response.status);
    const { error } = (await response.json()) as { error: { code: string } };
    expect(["upstream_error", "host_busy", "no_healthy_host"]).toContain(error.code);
  });

  test.each([{ kind: "500" }, { kind: "cut-after", afterTokens: 0 }, { kind: "garbage", afterTokens: 0 }])(
    "costs the caller nothing while another host serves the model: $kind",
    async (fault) => {
      await setFault("gpu", fault);
      const response = await post(true, `failover ${fault.kind}`, "llama-3.1-8b");
      expect(response.status).toBe(200);
      expect(response.headers.get("x-causeway-host")).toBe("jetson");
      expect(await response.text()).toMatch(/data: \[DONE\]\n\n$/);
      const row = await rowOf(response.headers.get("x-request-id") ?? "");
      expect(row).toMatchObject({ outcome: "complete", host: "jetson", attempts: 2, completion_tokens: TOKENS });
    },
  );
});

describe("a host that fails in the middle of a stream: one error event, no [DONE], and the tokens made are in the ledger", () => {
  test.each([
    { kind: "cut-after", afterTokens: 4 },
    { kind: "cut-inside", afterTokens: 4 },
    { kind: "fin-after", afterTokens: 4 },
    { kind: "fin-inside", afterTokens: 4 },
    { kind: "garbage", afterTokens: 4 },
    { kind: "giant-event", afterTokens: 4 },
    { kind: "error-event", afterTokens: 4 },
  ])("$kind after $afterTokens", async (fault) => {
    await setFault(STREAM_HOST, { ...fault, times: 1 });
    const response = await post(true, `${fault.kind} ${fault.afterTokens}`, STREAM_MODEL);
    expect(response.status).toBe(200);
    const events = (await response.text()).split("\n\n").filter((event) => event.startsWith("data: "));
    expect(events).not.toContain("data: [DONE]");
    const documents = events.map((event) => JSON.parse(event.slice("data: ".length)));
    expect(documents.filter((document) => "error" in document)).toHaveLength(1);
    expect(documents.at(-1)).toMatchObject({ error: { code: "upstream_error", type: "server_error" } });

    const requestId = response.headers.get("x-request-id") ?? "";
    const row = await rowOf(requestId);
    const truth = await truthOf(STREAM_HOST, requestId);
    expect(row).toMatchObject({ outcome: "upstream_error", host: STREAM_HOST, prompt_tokens: truth?.promptTokens });
    expect(row.completion_tokens).toBe(fault.afterTokens);
  });

  test("the official client throws, after the text that came", async () => {
    await setFault(STREAM_HOST, { kind: "cut-inside", afterTokens: 4, times: 1 });
    const stream = await clientOf("enterprise").chat.completions.create({
      model: STREAM_MODEL,
      stream: true,
      messages: [{ role: "user", content: `client ${TOKENS} [[tokens=${TOKENS}]]` }],
    });
    let pieces = 0;
    const reading = (async () => {
      for await (const chunk of stream) if (chunk.choices[0]?.delta.content) pieces++;
    })();
    await expect(reading).rejects.toBeInstanceOf(OpenAI.APIError);
    expect(pieces).toBe(4);
  });
});

test("a host that breaks off a whole answer is a clear error", async () => {
  await setFault(WHOLE_HOST, { kind: "cut-after", afterTokens: 4, times: 1 });
  const response = await post(false, "whole", WHOLE_MODEL);
  expect(response.status).toBe(502);
  expect(await response.json()).toMatchObject({ error: { code: "upstream_error" } });
});
