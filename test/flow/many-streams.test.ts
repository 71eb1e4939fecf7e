import { createHash } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { eventually } from "./eventually.ts";
import { ask, hostUrl, rowsOf, setPace, truthsOf } from "./world.ts";

const STREAMS = 200;
const TOKENS = 100;
/** Two hundred places in line, and then as many streams again from the host itself: on a busy machine, minutes. */
const WITHIN_MS = 180_000;

beforeAll(() => setPace("gpu", { ttftMs: 20, tokensPerSecond: 100, slots: 256 }));

/** An API key of somebody of the widest tier, which has 64 requests in flight. */
async function keyOf(owner: string): Promise<string> {
  const body = JSON.stringify({ owner, scopes: ["inference"], label: owner, tier: "enterprise", expiresInDays: 1 });
  const issued = await ask("/admin/keys", { method: "POST", as: "admin", body });
  return z.object({ key: z.string() }).parse(await issued.json()).key;
}

/** One stream through the gateway, as text. */
async function stream(
  question: number,
  key: string,
  tokens = TOKENS,
  returns = 60,
): Promise<{ id: string; text: string }> {
  const body = {
    model: "llama-3.1-70b",
    stream: true,
    temperature: 0,
    stream_options: { include_usage: true },
    messages: [{ role: "user", content: `question ${question} [[tokens=${tokens}]]` }],
  };
  // The host has slots for a third of them: the others wait their turn, and where the machine is too slow for all of
  // them to have one in time some are told to come back, as clients do.
  const headers = { authorization: `Bearer ${key}`, prefer: "wait=30" };
  const response = await ask("/v1/chat/completions", { method: "POST", body: JSON.stringify(body), headers });
  if ([429, 503].includes(response.status) && returns > 0) {
    await response.body?.cancel();
    await setTimeout(Number(response.headers.get("retry-after")) * 1_000);
    return stream(question, key, tokens, returns - 1);
  }
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  return { id: response.headers.get("x-request-id") ?? "", text: await response.text() };
}

/** The same question put to the host itself: what every byte must be, but for the answer's own id and date. */
async function direct(host: string, question: number, as: string): Promise<string> {
  const body = {
    model: as,
    stream: true,
    temperature: 0,
    stream_options: { include_usage: true },
    messages: [{ role: "user", content: `question ${question} [[tokens=${TOKENS}]]` }],
  };
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${host}/v1/chat/completions`, { method: "POST", headers, body: JSON.stringify(body) });
  return response.text();
}

const withoutNames = (text: string): string =>
  text
    .replaceAll(/^: .*\n\n/gm, "")
    .replaceAll(/"id":"[^"]*"/g, '"id":""')
    .replaceAll(/"created":\d+/g, '"created":0');
const digest = (text: string): string => createHash("sha256").update(withoutNames(text)).digest("hex");

test(
  `${STREAMS} streams at once: every byte right, every row there, every lease settled`,
  async ({ annotate }) => {
    const gpu = hostUrl("gpu");
    const before = new Set((await truthsOf("gpu")).map(({ id }) => id));
    const keys = await Promise.all(["a", "b", "c", "d"].map((name) => keyOf(`streams-${name}`)));
    // What ran there before may have held its slots for long: how long a place in line lasts is told by the latest.
    for (let round = 0; round < 8; round++) await Promise.all(keys.map((key) => stream(round, key, 1)));
    const asking = Array.from({ length: STREAMS }, (_, question) => stream(question, keys[question % 4] ?? ""));
    const answers = await Promise.all(asking);

    const asDirect = await Promise.all(
      answers.map((_, question) => direct(gpu, question, "meta-llama/Llama-3.1-70B-Instruct")),
    );
    expect(answers.map(({ text }) => digest(text))).toEqual(asDirect.map(digest));
    for (const { text } of answers) {
      const events = text.split("\n\n").filter((event) => event.startsWith("data: "));
      expect(events.at(-1)).toBe("data: [DONE]");
      expect(events).toHaveLength(TOKENS + 4);
    }

    const ids = answers.map(({ id }) => id);
    const rows = await eventually(async () => {
      const found = await rowsOf(ids);
      return found.length === STREAMS ? found : undefined;
    }, "not every stream has its row");
    const truths = (await truthsOf("gpu")).filter(
      ({ id, requestId }) => !before.has(id) && ids.includes(requestId ?? ""),
    );
    const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
    expect(new Set(ids).size).toBe(STREAMS);
    expect(truths).toHaveLength(STREAMS);
    expect(rows.every(({ outcome, estimated }) => outcome === "complete" && !estimated)).toBe(true);
    expect(sum(rows.map((row) => row.completion_tokens))).toBe(STREAMS * TOKENS);
    expect(sum(rows.map((row) => row.tokens_used))).toBe(
      sum(truths.map((truth) => truth.promptTokens + truth.completionTokens)),
    );
    await annotate(
      `${STREAMS} streams, ${sum(rows.map((row) => row.tokens_used))} tokens in the ledger and in the truth`,
    );
  },
  WITHIN_MS,
);
