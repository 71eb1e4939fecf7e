/** A host dies in the middle of its answer while others serve the model: the caller gets the whole of it all the same. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { tokenize } from "#scripts/lab/tokens.ts";
import { AffinityLoads } from "#src/fleet/affinity.ts";
import type { JsonObject } from "#src/json.ts";
import { type Death, engine, type Kind, type Seen } from "#test/support/engine.ts";
import { CHAT, type Gateway } from "#test/support/gateway.ts";
import { ledgerRows } from "#test/support/ledger.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const KINDS = ["vllm", "llamacpp", "native"] as const;
const DEATHS: readonly Death["how"][] = ["cut", "fin", "half", "garbage", "error", "stall"];
const catalogKind = (kind: Kind) => (kind === "native" ? { engine: "llamacpp", native: true } : { engine: kind });
/** Its first host is asked first, being the heavier by far. */
const pair = (id: string, first: Kind, second: Kind) => [
  hostOf(`${id}-a`, { ...catalogKind(first), slots: 64, weight: 1e9 }),
  hostOf(`${id}-b`, { ...catalogKind(second), slots: 64, weight: 1e-9 }),
];
const PAIRS = KINDS.flatMap((first) => KINDS.map((second) => ({ id: `${first}-${second}`, first, second })));
/** A fresh pair for each way to die, so that no breaker opens. */
const DYING = PAIRS.flatMap((row) => DEATHS.map((how) => ({ ...row, id: `${row.id}-${how}`, how })));
const EXTRA = [
  "bound",
  "stops",
  "held",
  "other",
  "raw",
  "spaces",
  "usage",
  "policy",
  "off",
  "thrice",
  "done",
  "leaving",
  "between",
  "both",
  "poison",
];
const DEADLINES = { deadlines: { firstToken: 2_000, betweenTokens: 300, total: 20_000 } };

let gateway: Gateway;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  const listed = [
    ...DYING.flatMap(({ id, first, second }) => pair(id, first, second)),
    ...EXTRA.flatMap((id) => pair(id, "vllm", "vllm")),
  ];
  const thrice = hostOf("thrice-c", { slots: 64, weight: 1e-18 });
  const row = ["c", "d", "e", "f"].map((last) => hostOf(`poison-${last}`, { slots: 64, weight: 1e-18 }));
  const further = { thrice: ["thrice-c"], poison: row.map(({ id }) => id) };
  const models = [...DYING.map(({ id }) => id), ...EXTRA].map((id) =>
    modelOn(id, [`${id}-a`, `${id}-b`, ...(Reflect.get(further, id) ?? [])], {
      ...DEADLINES,
      affinity: false,
      ...(id === "off" ? { continuation: false } : {}),
    }),
  );
  ({ gateway, hosts } = await withHosts([...listed, thrice, ...row], models));
}, 30_000);
afterAll(() => {
  vi.restoreAllMocks();
});
vi.setConfig({ testTimeout: 20_000 });

function host(id: string): StandIn {
  const standIn = hosts[id];
  if (standIn === undefined) throw new Error(`no stand-in for ${id}`);
  return standIn;
}

type Chunk = {
  id: string;
  object: string;
  created: number;
  model: string;
  choices: { delta?: JsonObject; text?: string; finish_reason: string | null }[];
  usage?: JsonObject;
  error?: { code: string };
};

async function streamOf(model: string, more: object = {}, path = "/v1/chat/completions") {
  const asked = path.endsWith("chat/completions") ? CHAT : {};
  const body = { ...asked, model, stream: true, temperature: 0, ...more };
  const response = await gateway.ask(path, { as: { sub: `${model}-user` }, body });
  const wire = await response.text();
  const events = wire.split("\n\n").slice(0, -1);
  const data = events.filter((event) => event.startsWith("data: ")).map((event) => event.slice("data: ".length));
  const chunks: Chunk[] = data.filter((text) => text !== "[DONE]").map((text) => JSON.parse(text));
  const choices = chunks.flatMap((chunk) => chunk.choices ?? []);
  return {
    requestId: response.headers.get("x-request-id") ?? "",
    chunks,
    comments: events.filter((event) => event.startsWith(": ") && event !== ": ping"),
    text: choices.map(({ delta, text }) => delta?.content ?? text ?? "").join(""),
    finish: choices.flatMap(({ finish_reason }) => finish_reason ?? []),
    isDone: data.at(-1) === "[DONE]",
    errors: chunks.flatMap(({ error }) => (error === undefined ? [] : [error.code])),
    usage: chunks.findLast(({ usage }) => usage != null)?.usage,
  };
}

/** The same answer from one host that lives, asked as the first one is. */
async function uninterrupted(model: string, kind: Kind, more: object = {}, path?: string) {
  host(`${model}-a`).answer = engine(kind);
  return streamOf(model, more, path);
}

describe("the joined text is the uninterrupted one", () => {
  test.each(DYING)("$first dies by $how, $second goes on", async ({ id, first, second, how }) => {
    const whole = await uninterrupted(id, first);
    host(`${id}-a`).answer = engine(first, { how, afterTokens: 5 });
    host(`${id}-b`).answer = engine(second);
    const joined = await streamOf(id);
    expect(joined).toMatchObject({ isDone: true, errors: [], finish: ["stop"] });
    // A native host has a chat template of its own: with another prompt the same weights go on otherwise.
    const isSamePrompt = (first === "native") === (second === "native");
    if (isSamePrompt) expect(joined.text).toBe(whole.text);
    else expect(joined.text.startsWith(whole.text.slice(0, 12))).toBe(true);
    expect(joined.comments).toEqual([`: continued by ${id}-b`]);
    const [{ id: name, created, model }] = joined.chunks as [Chunk];
    for (const chunk of joined.chunks) expect(chunk).toMatchObject({ id: name, created, model });
    expect(joined.chunks.filter(({ choices }) => choices.some(({ delta }) => delta?.role !== undefined))).toHaveLength(
      1,
    );
  });
});

describe("what is left of it", () => {
  test.each([
    { name: "its bound", model: "bound", more: { max_tokens: 12 } },
    { name: "a stop string across the seam", model: "stops", more: { stop: [] as string[] } },
    { name: "white space at the seam", model: "spaces", more: {} },
    {
      name: "a raw prompt",
      model: "raw",
      more: { prompt: "Once upon a time", max_tokens: 20 },
      path: "/v1/completions",
    },
  ])("$name, wherever it is cut", async ({ model, more, path }) => {
    const plain = await uninterrupted(model, "vllm", more, path);
    // Long enough for vLLM to hold several tokens back, and a bound that those must not be counted against twice.
    const stop =
      model === "stops" ? { stop: [plain.text.slice(48, 52), "a long one that never comes"], max_tokens: 14 } : {};
    const whole = await uninterrupted(model, "vllm", { ...more, ...stop }, path);
    for (let afterTokens = 1; afterTokens <= 9; afterTokens++) {
      host(`${model}-a`).answer = engine("vllm", { how: "cut", afterTokens });
      host(`${model}-b`).answer = engine("vllm");
      const joined = await streamOf(model, { ...more, ...stop }, path);
      expect(joined, `cut after ${afterTokens}`).toMatchObject({
        text: whole.text,
        finish: whole.finish,
        isDone: true,
      });
      // Both hosts are well between the cuts: their breakers stay shut.
      host(`${model}-a`).answer = engine("vllm");
      await streamOf(model, { ...more, ...stop }, path);
    }
  });

  // Where what its host holds back is longer than what has passed nothing tells where its tokens end.
  test("its bound, while its host holds back more than has passed", { timeout: 60_000 }, async () => {
    for (let question = 0; question < 60; question++) {
      const held = 5 + (question % 25);
      const more = {
        messages: [{ role: "user", content: `Question ${question}` }],
        stop: "#".repeat(held + 1),
        max_tokens: 16,
        stream_options: { include_usage: true },
      };
      const whole = await uninterrupted("held", "vllm", more);
      const ends = tokenize(whole.text).map((_, at, tokens) => tokens.slice(0, at + 1).join("").length);
      const afterTokens = 1 + ends.findIndex((end) => end > held);
      host("held-a").answer = engine("vllm", { how: "cut", afterTokens });
      host("held-b").answer = engine("vllm");
      const { text, finish, usage } = await streamOf("held", more);
      expect({ text, finish, usage }, `${held} held back after ${afterTokens}`).toEqual({
        text: whole.text,
        finish: whole.finish,
        usage: expect.objectContaining({ completion_tokens: 16 }),
      });
      host("held-a").answer = engine("vllm");
      await streamOf("held", more);
    }
  });

  test("a host of other weights completes a token in its own way, and is asked once more to do so", async () => {
    const more = { stop: "#".repeat(9) };
    const whole = await uninterrupted("other", "vllm", more);
    host("other-a").answer = engine("vllm", { how: "cut", afterTokens: 5 });
    const same = engine("vllm");
    const said: string[] = [];
    host("other-b").answer = (body, signal) => {
      const { messages } = body as { messages: { content: string }[] };
      said.push(messages.length > 1 ? (messages.at(-1)?.content ?? "") : "");
      const isAtToken = said.length === 1;
      return same(isAtToken ? { ...body, messages: [{ role: "user", content: "Something else." }] } : body, signal);
    };
    const joined = await streamOf("other", more);
    expect(joined).toMatchObject({ isDone: true, errors: [], text: whole.text });
    // What the first host held back, and what the second said instead.
    expect((await ledgerRows(joined.requestId))[0]).toMatchObject({ wasted_tokens: 4 });
    const [atToken = "", anywhere = ""] = said;
    expect([said.length, anywhere.startsWith(atToken), anywhere.length > atToken.length]).toEqual([2, true, true]);
  });

  test("usage is that of both parts, for the caller and in the ledger, with both hosts", async () => {
    const more = { stream_options: { include_usage: true } };
    const whole = await uninterrupted("usage", "vllm", more);
    host("usage-a").answer = engine("vllm", { how: "half", afterTokens: 6 });
    host("usage-b").answer = engine("vllm");
    const joined = await streamOf("usage", more);
    expect(joined.usage).toMatchObject(whole.usage ?? {});
    expect(joined.chunks.filter(({ usage }) => usage != null)).toHaveLength(1);
    const [event] = await ledgerRows(joined.requestId);
    expect(event).toMatchObject({
      outcome: "complete",
      host: "usage-b",
      hosts: ["usage-a", "usage-b"],
      attempts: 2,
      prompt_tokens: whole.usage?.prompt_tokens,
      completion_tokens: whole.usage?.completion_tokens,
      estimated: false,
      wasted_tokens: 0,
    });
  });

  test("a second host that dies is followed by a third", async () => {
    const whole = await uninterrupted("thrice", "vllm");
    host("thrice-a").answer = engine("vllm", { how: "cut", afterTokens: 3 });
    host("thrice-b").answer = engine("vllm", { how: "fin", afterTokens: 4 });
    host("thrice-c").answer = engine("vllm");
    const joined = await streamOf("thrice");
    expect(joined).toMatchObject({ text: whole.text, isDone: true, errors: [] });
    expect(joined.comments).toHaveLength(2);
    expect((await ledgerRows(joined.requestId))[0]).toMatchObject({
      hosts: ["thrice-a", "thrice-b", "thrice-c"],
      attempts: 3,
    });
  });

  test("only the word that it is over was missing: nobody else is asked", async () => {
    const whole = await uninterrupted("done", "vllm");
    host("done-a").answer = engine("vllm", { how: "before done", afterTokens: 0 });
    const before = host("done-b").asked.length;
    expect(await streamOf("done")).toMatchObject({ text: whole.text, isDone: true, errors: [], finish: ["stop"] });
    expect(host("done-b").asked).toHaveLength(before);
  });
});

describe("what is not carried on ends in one error event", () => {
  test.each([
    { name: "tools", model: "policy", more: { tools: [{ type: "function", function: { name: "f" } }] } },
    { name: "a model whose continuation is off", model: "off", more: {} },
  ])("$name", async ({ model, more }) => {
    host(`${model}-a`).answer = engine("vllm", { how: "cut", afterTokens: 4 });
    host(`${model}-b`).answer = engine("vllm");
    const ended = await streamOf(model, more);
    expect(ended).toMatchObject({ isDone: false, errors: ["upstream_error"], comments: [] });
    expect(host(`${model}-b`).asked).toHaveLength(0);
    expect((await ledgerRows(ended.requestId))[0]).toMatchObject({ outcome: "upstream_error", completion_tokens: 4 });
  });

  test("nobody is left who could: each host's work ends once", async () => {
    host("both-a").answer = engine("vllm", { how: "cut", afterTokens: 4 });
    host("both-b").answer = engine("vllm", { how: "cut", afterTokens: 2 });
    const ends = vi.spyOn(AffinityLoads.prototype, "finished");
    const ended = await streamOf("both");
    expect(ends.mock.calls.map(([{ host }]) => host.id)).toEqual(["both-a", "both-b"]);
    ends.mockRestore();
    expect(ended).toMatchObject({ isDone: false, errors: ["upstream_error"] });
    expect((await ledgerRows(ended.requestId))[0]).toMatchObject({ outcome: "upstream_error", completion_tokens: 6 });
  });
});

test("an answer that hosts die of is not the death of all", async () => {
  const all = ["a", "b", "c", "d", "e", "f"].map((last) => host(`poison-${last}`));
  for (const one of all) one.answer = engine("vllm", { how: "cut", afterTokens: 1 });
  const ended = await streamOf("poison");
  expect(ended).toMatchObject({ isDone: false, errors: ["upstream_error"] });
  expect(all.filter(({ asked }) => asked.length > 0)).toHaveLength(5);
  expect((await ledgerRows(ended.requestId))[0]).toMatchObject({ attempts: 5, completion_tokens: 5 });
});

test("a host that fell silent is hung up on, and so is the next one when the caller leaves", async () => {
  const [silent, next]: [Seen, Seen] = [{ hungUp: false }, { hungUp: false }];
  host("leaving-a").answer = engine("vllm", { how: "stall", afterTokens: 2 }, silent);
  host("leaving-b").answer = engine("vllm", { how: "stall", afterTokens: 1 }, next);
  const body = { ...CHAT, model: "leaving", stream: true, temperature: 0 };
  const response = await gateway.ask("/v1/chat/completions", { as: { sub: "leaving" }, body });
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  let wire = "";
  while (!wire.includes("continued by")) wire += new TextDecoder().decode((await reader.read()).value);
  expect([silent.hungUp, next.hungUp]).toEqual([true, false]);
  await reader.cancel();
  await vi.waitFor(() => expect(next.hungUp).toBe(true), { timeout: 2_000 });
  const id = response.headers.get("x-request-id") ?? "";
  expect((await ledgerRows(id))[0]).toMatchObject({ outcome: "client_left", hosts: ["leaving-a", "leaving-b"] });
});

test("a caller who leaves between two parts: the next host is hung up on, and what it made nobody knows", async () => {
  let [isAsked, isHungUp] = [false, false];
  host("between-a").answer = engine("vllm", { how: "cut", afterTokens: 3 });
  host("between-b").answer = (_body, signal) => {
    isAsked = true;
    return new Promise((_, reject) => {
      signal?.addEventListener("abort", () => {
        isHungUp = true;
        reject(signal.reason);
      });
    });
  };
  const body = { ...CHAT, model: "between", stream: true, temperature: 0 };
  const ends = vi.spyOn(AffinityLoads.prototype, "finished");
  const response = await gateway.ask("/v1/chat/completions", { as: { sub: "between" }, body });
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  const reading = (async () => {
    while (!(await reader.read()).done);
  })().catch(() => undefined);
  await vi.waitFor(() => expect(isAsked).toBe(true));
  await reader.cancel();
  await reading;
  await vi.waitFor(() => expect(isHungUp).toBe(true), { timeout: 2_000 });
  const [row] = await ledgerRows(response.headers.get("x-request-id"));
  expect(row).toMatchObject({
    outcome: "client_left",
    host: "between-a",
    hosts: ["between-a"],
    attempts: 2,
    completion_tokens: 3,
    wasted_tokens: null,
  });
  expect(ends.mock.calls.map(([{ host }]) => host.id)).toEqual(["between-a", "between-b"]);
  ends.mockRestore();
});
