import { describe, expect, test } from "vitest";
import type { KnownCall } from "#src/ingress/call.ts";
import { questionOf, type Route } from "#src/ingress/question.ts";
import { warmthOf } from "#src/ingress/warmth.ts";

const LONG = "word ".repeat(300);
const CHAT = { model: "m", messages: [{ role: "system", content: LONG }] };
const SHORT = { model: "m", messages: [{ role: "user", content: "hi" }] };

type Asked = {
  readonly route?: Route;
  readonly body?: Record<string, unknown>;
  readonly headers?: Record<string, string>;
  readonly tenant?: string;
  readonly affinity?: boolean;
};

function warmth({ route = "chat", body = CHAT, headers = {}, tenant, affinity = true }: Asked): string | null {
  const principal = { accountId: "i|u", tenant: tenant === undefined ? null : { id: `i|${tenant}`, name: tenant } };
  const call = { request: new Request("http://x", { headers }), principal } as Pick<KnownCall, "request" | "principal">;
  return warmthOf(call, questionOf(route, body), { affinity });
}

describe("what may be warm", () => {
  test.each<{ name: string; asked: Asked; warm: boolean }>([
    { name: "a long beginning", asked: {}, warm: true },
    { name: "a short one", asked: { body: SHORT }, warm: false },
    { name: "a session", asked: { body: SHORT, headers: { "x-session-id": "s-1" } }, warm: true },
    { name: "no sane session", asked: { body: SHORT, headers: { "x-session-id": "a b" } }, warm: false },
    { name: "a session of any length", asked: { body: SHORT, headers: { "x-session-id": LONG } }, warm: false },
    { name: "a user", asked: { body: { ...SHORT, user: "u" } }, warm: true },
    { name: "a raw prompt", asked: { route: "completions", body: { model: "m", prompt: LONG } }, warm: true },
    { name: "embeddings", asked: { route: "embeddings", body: { model: "m", input: LONG, user: "u" } }, warm: false },
    { name: "a model that does not want it", asked: { affinity: false }, warm: false },
  ])("$name: $warm", ({ asked, warm }) => {
    expect(warmth(asked) !== null).toBe(warm);
  });

  test("tenants share nothing", () => {
    expect(new Set([warmth({}), warmth({ tenant: "acme" }), warmth({ tenant: "other" })]).size).toBe(3);
  });
});
