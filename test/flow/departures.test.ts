import { request } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { credentialOf, rowsOf, setPace, truthsOf } from "./world.ts";

const DEPARTURES = 200;
const AT_ONCE = 40;
/** A gateway that is late by less than what lies between two events is exact; how late it is, this machine decides. */
const PACE = { ttftMs: 20, tokensPerSecond: 20, slots: 256 };
const LONGEST_STAY_MS = 1_500;

beforeAll(() => setPace("gpu", PACE));
afterAll(() => setPace("gpu", { ttftMs: 60, tokensPerSecond: 80, slots: 64 }));

/** One stream on a connection of its own, whose caller goes away at a random moment. Returns the request's id. */
function departing(question: number): Promise<string> {
  const body = JSON.stringify({
    model: "llama-3.1-70b",
    stream: true,
    max_tokens: 200,
    messages: [{ role: "user", content: `departure ${question} [[tokens=200]]` }],
  });
  const headers = {
    authorization: `Bearer ${credentialOf(question % 2 === 0 ? "enterprise" : "admin")}`,
    "content-type": "application/json",
  };
  return new Promise((resolve, reject) => {
    const url = `${stack.gateway}/v1/chat/completions`;
    const asked = request(url, { method: "POST", agent: false, headers }, (response) => {
      response.on("error", () => undefined).resume();
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      setTimeout(() => {
        asked.destroy();
        resolve(String(response.headers["x-request-id"]));
      }, Math.random() * LONGEST_STAY_MS);
    });
    asked.on("error", reject).end(body);
  });
}

test(`${DEPARTURES} callers who leave at random moments: each has its row, with no more than the host made`, async ({
  annotate,
}) => {
  const ids: string[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < DEPARTURES) ids.push(await departing(next++));
    }),
  );
  const rows = await eventually(async () => {
    const found = await rowsOf(ids);
    return found.length === DEPARTURES ? found : undefined;
  }, "not every departure has its row");
  const truths = new Map((await truthsOf("gpu")).map((truth) => [truth.requestId, truth]));
  const short = rows.map(({ id, completion_tokens }) => (truths.get(id)?.completionTokens ?? -1) - completion_tokens);

  expect(rows.every(({ outcome, estimated }) => outcome === "client_left" && !estimated)).toBe(true);
  // Never more than the host made. How many are short of it is told and not judged: see `scripts/lab/truth.ts`.
  expect(Math.min(...short)).toBe(0);
  const differing = short.filter((tokens) => tokens > 0);
  await annotate(`${differing.length} of ${DEPARTURES} are short, by ${differing.join(", ") || "nothing"} tokens`);
});
