import { describe, expect, test } from "vitest";
import { readMessage } from "#src/ingress/chat-message.ts";
import {
  type AnswerEnd,
  answered,
  bereft,
  gone,
  heard,
  keyEnding,
  lookAtMs,
  lookedAt,
  MAX_SOCKETS,
  opened,
  PING,
  PONG,
  type Session,
  type Step,
} from "#src/ingress/chat-session.ts";
import { Problem, type ProblemCode } from "#src/problem.ts";

const NOW_MS = 1_790_000_000_000;
const UNTIL_MS = NOW_MS + 600_000;
const ID = "0190a1b2-0000-7000-8000-000000000000";
const QUESTION = JSON.stringify({ content: "hi" });

const session = (changed: Partial<Session> = {}): Session => {
  const principal = {
    accountId: "key|robot",
    userId: "robot",
    tenant: null,
    tier: "default",
    roles: [],
    scopes: ["inference" as const],
    keyId: "key_one",
  };
  const identity = { principal, proof: { untilMs: UNTIL_MS, signedBy: null } };
  const open = {
    model: "m",
    identity,
    address: null,
    place: {},
    wishes: [],
    heardAtMs: NOW_MS,
    running: null,
    messagesLeft: 20,
  };
  return { ...open, ...changed };
};

/** What a step does, told briefly: codes of errors and closes, texts else. */
function brief({ acts }: Step): string[] {
  return acts.map((act) => {
    if (act.kind === "close") return `close ${act.code}`;
    if (act.kind === "start" || act.kind === "stop") return `${act.kind} ${act.requestId}`;
    const said = JSON.parse(act.text);
    return `say ${said.error?.code ?? said.type}`;
  });
}

const hear = (text: string | null, changed: Partial<Session> = {}, nowMs = NOW_MS): Step =>
  heard(session(changed), text, ID, nowMs);

describe("a socket that opens", () => {
  test.each([
    { others: 0, acts: [] },
    { others: MAX_SOCKETS - 1, acts: [] },
    { others: MAX_SOCKETS, acts: ["close 1013"] },
  ])("beside $others others: $acts", ({ others, acts }) => {
    expect(brief(opened(session(), others, NOW_MS))).toEqual(acts);
  });
});

describe("a message", () => {
  test.each<{ name: string; text: string | null; changed?: Partial<Session>; nowMs?: number; acts: string[] }>([
    { name: "a question", text: QUESTION, acts: ["say started", `start ${ID}`] },
    { name: "a question meanwhile", text: QUESTION, changed: { running: "first" }, acts: ["say generation_running"] },
    { name: "cancel", text: '{"type":"cancel"}', changed: { running: "first" }, acts: ["stop first"] },
    { name: "cancel of nothing", text: '{"type":"cancel"}', acts: [] },
    { name: "a ping in other words", text: '{"type": "ping"}', changed: { running: "first" }, acts: ["say pong"] },
    { name: "no JSON", text: "hi", acts: ["say invalid_json"] },
    { name: "no object", text: "[]", acts: ["say invalid_json"] },
    { name: "nothing", text: "", acts: ["say invalid_json"] },
    { name: "no JSON meanwhile", text: "hi", changed: { running: "first" }, acts: ["say invalid_json"] },
    { name: "bytes", text: null, acts: ["close 1003"] },
    { name: "bytes meanwhile", text: null, changed: { running: "first" }, acts: ["stop first", "close 1003"] },
    { name: "64 KiB", text: " ".repeat(65_536 - QUESTION.length) + QUESTION, acts: ["say started", `start ${ID}`] },
    { name: "a byte more", text: " ".repeat(65_537 - QUESTION.length) + QUESTION, acts: ["close 1009"] },
    { name: "more bytes than characters", text: `{"content":"${"é".repeat(32_768)}"}`, acts: ["close 1009"] },
    {
      name: "the last that may come at once",
      text: QUESTION,
      changed: { messagesLeft: 1 },
      acts: ["say started", `start ${ID}`],
    },
    { name: "one too many", text: QUESTION, changed: { messagesLeft: 0.9 }, acts: ["close 1008"] },
    {
      name: "one too many, a tenth of a second later",
      text: QUESTION,
      changed: { messagesLeft: 0 },
      nowMs: NOW_MS + 100,
      acts: ["say started", `start ${ID}`],
    },
    {
      name: "with a clock that was set back",
      text: QUESTION,
      nowMs: NOW_MS - 3_600_000,
      acts: ["say started", `start ${ID}`],
    },
    {
      name: "just before the credential expires",
      text: QUESTION,
      nowMs: UNTIL_MS - 1,
      acts: ["say started", `start ${ID}`],
    },
    { name: "when it has", text: QUESTION, nowMs: UNTIL_MS, acts: ["close 1008"] },
    {
      name: "when it has, meanwhile",
      text: QUESTION,
      changed: { running: "first" },
      nowMs: UNTIL_MS,
      acts: ["stop first", "close 1008"],
    },
  ])("$name: $acts", ({ text, changed, nowMs, acts }) => {
    expect(brief(hear(text, changed, nowMs))).toEqual(acts);
  });

  test("a thousand at once: as many as may come are looked at, and none more", () => {
    let state = session();
    const acts: string[] = [];
    for (let nth = 0; nth < 1_000 && !acts.includes("close 1008"); nth++) {
      const step = heard(state, PING, ID, NOW_MS);
      state = step.session;
      acts.push(...brief(step));
    }
    expect(acts).toEqual([...Array<string>(20).fill("say pong"), "close 1008"]);
    // However long it was quiet, no more than that may come at once.
    expect(heard(session(), PING, ID, NOW_MS + 3_600_000).session.messagesLeft).toBe(19);
  });

  test("a question is answered as asked now, by the id that was minted now", () => {
    const document = { model: "m", stream: true, messages: [{ role: "user", content: "hi" }] };
    expect(hear(QUESTION, {}, NOW_MS + 9).acts).toContainEqual({
      kind: "start",
      requestId: ID,
      atMs: NOW_MS + 9,
      document,
    });
  });

  test("ping and pong are what the platform says for itself", () => {
    expect(hear(PING).acts).toEqual([{ kind: "say", text: PONG }]);
  });
});

describe("an answer that ends", () => {
  const ended = (how: AnswerEnd, running: string | null = ID): Step =>
    answered(session({ running }), ID, how, NOW_MS + 5_000);
  const failed = (code: ProblemCode): AnswerEnd => new Problem(code);
  test.each<{ name: string; how: AnswerEnd; running?: string | null; acts: string[] }>([
    { name: "by its last event", how: "complete", acts: [] },
    { name: "stopped", how: "stopped", acts: ["say cancelled"] },
    { name: "refused", how: failed("rate_limit_exceeded"), acts: ["say rate_limit_exceeded"] },
    { name: "failed", how: failed("upstream_error"), acts: ["say upstream_error"] },
    {
      name: "by a credential that is no more",
      how: failed("invalid_api_key"),
      acts: ["say invalid_api_key", "close 1008"],
    },
    { name: "by a fault of the gateway", how: failed("internal_error"), acts: ["say internal_error", "close 1011"] },
    { name: "of a socket that has closed", how: "stopped", running: null, acts: [] },
    { name: "that is another one", how: "stopped", running: "other", acts: [] },
  ])("$name: $acts", ({ how, running, acts }) => {
    const step = ended(how, running);
    expect(brief(step)).toEqual(acts);
    expect(step.session.running).toBe(running === "other" ? "other" : null);
  });

  test("lost with the instance that made it", () => {
    expect(brief(bereft(session({ running: ID }), NOW_MS))).toEqual(["say upstream_error"]);
    expect(bereft(session(), NOW_MS)).toEqual({ session: session(), acts: [] });
  });

  test("with the socket", () => {
    expect(brief(gone(session({ running: ID })))).toEqual([`stop ${ID}`]);
    expect(brief(gone(session()))).toEqual([]);
  });
});

describe("the alarm", () => {
  test.each<{
    name: string;
    changed?: Partial<Session>;
    pingedAtMs?: number;
    holds?: boolean;
    afterMs: number;
    acts: string[];
    nextMs: number;
  }>([
    { name: "soon", afterMs: 1_000, acts: [], nextMs: 31_000 },
    { name: "before it is idle", afterMs: 45_000, acts: [], nextMs: 60_000 },
    { name: "idle", afterMs: 60_000, acts: ["close 1000"], nextMs: 60_000 },
    { name: "pinged", pingedAtMs: NOW_MS + 40_000, afterMs: 60_000, acts: [], nextMs: 90_000 },
    {
      name: "pinged, and then not",
      pingedAtMs: NOW_MS + 40_000,
      afterMs: 100_000,
      acts: ["close 1000"],
      nextMs: 100_000,
    },
    { name: "pinged before it was heard", pingedAtMs: NOW_MS - 9_000, afterMs: 59_999, acts: [], nextMs: 60_000 },
    { name: "while it answers", changed: { running: ID }, afterMs: 300_000, acts: [], nextMs: 330_000 },
    { name: "near the end", pingedAtMs: NOW_MS + 580_000, afterMs: 590_000, acts: [], nextMs: 600_000 },
    { name: "at the end", pingedAtMs: NOW_MS + 580_000, afterMs: 600_000, acts: ["close 1008"], nextMs: 600_000 },
    {
      name: "at the end of an answer's credential",
      changed: { running: ID },
      afterMs: 600_000,
      acts: [`stop ${ID}`, "close 1008"],
      nextMs: 600_000,
    },
    { name: "revoked", holds: false, afterMs: 1_000, acts: ["close 1008"], nextMs: 31_000 },
  ])("$name: $acts", ({ changed, pingedAtMs = null, holds = true, afterMs, acts, nextMs }) => {
    const nowMs = NOW_MS + afterMs;
    expect(brief(lookedAt(session(changed), pingedAtMs, holds, nowMs))).toEqual(acts);
    expect(lookAtMs(session(changed), pingedAtMs, nowMs)).toBe(NOW_MS + nextMs);
  });

  test.each([
    { keyId: "key_one", fromMs: NOW_MS, untilMs: NOW_MS },
    { keyId: "key_one", fromMs: UNTIL_MS + 1, untilMs: UNTIL_MS },
    { keyId: "key_two", fromMs: NOW_MS, untilMs: UNTIL_MS },
  ])("a key $keyId that ends at $fromMs", ({ keyId, fromMs, untilMs }) => {
    expect(keyEnding(session(), keyId, fromMs).identity.proof.untilMs).toBe(untilMs);
  });
});

describe("what a message says", () => {
  const read = (message: object) => readMessage(new TextEncoder().encode(JSON.stringify(message)), "m");
  test.each<{ message: object; document: object }>([
    {
      message: { content: "hi" },
      document: { model: "m", stream: true, messages: [{ role: "user", content: "hi" }] },
    },
    {
      message: { type: "message", content: [{ type: "text", text: "hi" }], stream: true, seed: 1 },
      document: {
        model: "m",
        stream: true,
        seed: 1,
        messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }],
      },
    },
    {
      message: { messages: [{ role: "system", content: "x" }], tools: [], unknown: { a: 1 } },
      document: {
        model: "m",
        stream: true,
        messages: [{ role: "system", content: "x" }],
        tools: [],
        unknown: { a: 1 },
      },
    },
    // Refused by the schema of chat completions, in its words.
    { message: {}, document: { model: "m", stream: true } },
  ])("$message", ({ message, document }) => {
    expect(read(message)).toEqual({ kind: "question", document });
  });

  test.each<{ message: object; param: string }>([
    { message: { type: "start" }, param: "type" },
    { message: { type: null, content: "hi" }, param: "type" },
    { message: { content: "hi", model: "m" }, param: "model" },
    { message: { content: "hi", stream: false }, param: "stream" },
    { message: { content: "hi", messages: [] }, param: "content" },
  ])("$message: unsupported", ({ message, param }) => {
    expect(read(message)).toMatchObject({ kind: "wrong", problem: { code: "unsupported_value", facts: { param } } });
  });
});
