import { expect, test } from "vitest";
import { probe } from "#src/fleet/probe.ts";

const answers =
  (status: number, body: BodyInit | null = null) =>
  async () =>
    new Response(body, { status });
const llama = (message: string) => JSON.stringify({ error: { code: 503, message, type: "unavailable_error" } });

test.each([
  { name: "vLLM's 200, empty", ask: answers(200), result: "healthy" },
  { name: "llama.cpp's 200", ask: answers(200, '{"status":"ok"}'), result: "healthy" },
  { name: "llama.cpp loading", ask: answers(503, llama("Loading model")), result: "loading" },
  { name: "vLLM dead", ask: answers(503), result: "failed" },
  { name: "llama.cpp, another 503", ask: answers(503, llama("no slot available")), result: "failed" },
  { name: "a page that says 503 and loading", ask: answers(503, "<html>Loading model</html>"), result: "failed" },
  { name: "a tunnel's 502", ask: answers(502, "<html>"), result: "failed" },
  { name: "500", ask: answers(500), result: "failed" },
  { name: "404: not an engine", ask: answers(404), result: "failed" },
  { name: "204: not an engine", ask: answers(204), result: "failed" },
  {
    name: "Access's login page",
    ask: async () => Response.redirect("https://team.example.com/", 302),
    result: "failed",
  },
  {
    name: "a host that cannot be reached",
    ask: () => Promise.reject(new TypeError("Network connection lost.")),
    result: "failed",
  },
  {
    name: "a host without a way to it",
    ask: () => {
      throw new Error("no binding CPU_VPC");
    },
    result: "failed",
  },
  {
    name: "a body that breaks off",
    ask: async () =>
      new Response(new ReadableStream({ pull: (controller) => controller.error(new Error("cut")) }), { status: 503 }),
    result: "failed",
  },
])("$name is $result", async ({ ask, result }) => {
  expect(await probe(ask)).toBe(result);
});

test("it asks for /health, and no longer than its time", async () => {
  const asked: { path: string; init: RequestInit }[] = [];
  await probe(async (path, init) => {
    asked.push({ path, init });
    return new Response();
  });
  expect(asked).toMatchObject([{ path: "/health", init: { method: "GET" } }]);
  expect(asked[0]?.init.signal).toBeInstanceOf(AbortSignal);
});

test("what it does not read is let go", async () => {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(9)),
    cancel() {
      cancelled = true;
    },
  });
  expect(await probe(async () => new Response(body))).toBe("healthy");
  expect(cancelled).toBe(true);
});
