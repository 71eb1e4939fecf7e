import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { ask, clearFaults, hostUrl, lastRequestId, rowOf, setFault, truthsOf } from "./world.ts";

const HOST = "cpu-openchat";
const MODEL = "openchat-3.5";
/** One heartbeat, and what a loaded machine needs on top; no measurement, only far below any deadline. */
const SOON_MS = 6_000;
/** The catalog's deadline for the first token: from then on a whole answer is heartbeated. */
const WHOLE_ANSWER_IS_LATE_MS = 10_000;

beforeEach(async () => {
  await clearFaults(HOST);
  for (const record of ["truth", "requests"]) await fetch(`${hostUrl(HOST)}/lab/${record}`, { method: "DELETE" });
});
afterEach(() => clearFaults(HOST));

/** Asks, and leaves when told so. */
function asking(stream: boolean, tokens: number) {
  const leaving = new AbortController();
  const body = { model: MODEL, stream, messages: [{ role: "user", content: `wait for it [[tokens=${tokens}]]` }] };
  const answering = ask("/v1/chat/completions", {
    method: "POST",
    as: "premium",
    signal: leaving.signal,
    body: JSON.stringify(body),
  });
  answering.catch(() => undefined);
  return { answering, leave: () => leaving.abort() };
}

const firstTruth = async () => (await truthsOf(HOST))[0];
const begun = () => eventually(firstTruth, "no generation began");
const ended = (withinMs = SOON_MS) =>
  eventually(
    async () => {
      const truth = await firstTruth();
      return truth?.ended == null ? undefined : truth;
    },
    "the host goes on working for nobody",
    withinMs,
  );

async function busySlots(): Promise<number> {
  const text = await (await fetch(`${hostUrl(HOST)}/metrics`)).text();
  return Number(/^vllm:num_requests_running\{[^}]*\} (\S+)$/m.exec(text)?.[1]);
}

describe("a caller who leaves", () => {
  test("a stream that flows: the host stops, the ledger has the tokens made", async () => {
    const { answering, leave } = asking(true, 5_000);
    const reader = (await answering).body?.getReader();
    for (let reads = 0; reads < 5; reads++) await reader?.read();
    leave();
    const truth = await ended();
    const row = await rowOf(truth.requestId ?? "");
    expect(truth.ended).toBe("aborted");
    expect(row).toMatchObject({ outcome: "client_left", prompt_tokens: truth.promptTokens });
    expect(row.completion_tokens).toBeGreaterThan(0);
    expect(row.completion_tokens).toBeLessThanOrEqual(truth.completionTokens);
    expect(await busySlots()).toBe(0);
  });

  test("a stream that has gone silent: noticed by the heartbeat", async () => {
    await setFault(HOST, { kind: "hang-after", afterTokens: 3 });
    const { answering, leave } = asking(true, 50);
    const reader = (await answering).body?.getReader();
    for (let reads = 0; reads < 4; reads++) await reader?.read();
    leave();
    const truth = await ended();
    const row = await rowOf(truth.requestId ?? "");
    expect(row).toMatchObject({ outcome: "client_left", completion_tokens: 3 });
    expect(await busySlots()).toBe(0);
  });

  test("a host that has not said a word yet", async () => {
    await setFault(HOST, { kind: "hang-before-headers" });
    const { leave } = asking(true, 50);
    const requestId = await eventually(() => lastRequestId(HOST), "the host was not asked");
    leave();
    expect(await rowOf(requestId)).toMatchObject({ outcome: "client_left", completion_tokens: 0 });
  });

  test("a whole answer that takes long: noticed once it is late", async () => {
    const { leave } = asking(false, 5_000);
    const truth = await begun();
    leave();
    expect((await ended(WHOLE_ANSWER_IS_LATE_MS + SOON_MS)).ended).toBe("aborted");
    expect(await rowOf(truth.requestId ?? "")).toMatchObject({ outcome: "client_left" });
    expect(await busySlots()).toBe(0);
  });
});

test("the gateway is as well as before", async () => {
  expect((await fetch(`${stack.gateway}/health`)).status).toBe(200);
});
