import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import type { KnownCall } from "#src/ingress/call.ts";
import { carriedOf } from "#src/ingress/carried-call.ts";

test("no credential is carried along with a call, in whichever header it came", () => {
  const headers = { authorization: "Bearer a", "x-api-key": "b", cookie: "c=d", "x-workflow-id": "w" };
  const request = new Request("http://x/v1/messages", { method: "POST", headers });
  const principal = { accountId: "a", userId: "u", tenant: null, tier: "default", roles: [], scopes: [], keyId: null };
  const log = { requestId: "r", method: "POST", route: "/v1/messages" };
  const call = { request, env, principal, requestId: "r", arrivedAtMs: 1, address: null, log } as unknown as KnownCall;
  expect(carriedOf(call, null).headers).toEqual([["x-workflow-id", "w"]]);
});
