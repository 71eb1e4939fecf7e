import { describe, expect, test } from "vitest";
import { type Catalog, parseCatalog } from "#src/catalog/schema.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { draftOf } from "#src/ingress/draft.ts";
import { questionOf } from "#src/ingress/question.ts";
import { usageEvent } from "#src/usage/event.ts";
import { uuidv7 } from "#src/uuid.ts";

const NOW_MS = 1_790_000_000_123;
const CALLER = {
  accountId: "https://id.test/|alice",
  userId: "alice",
  tenant: { id: "https://id.test/|acme", name: "acme" },
  tier: "premium",
  roles: ["ai-users"],
  scopes: ["inference"],
  keyId: null,
} satisfies KnownCall["principal"];

type Price = Record<string, unknown>;
const PRICE: Price = { version: "2026", per1kTokens: 1 };

function catalog(price: Price | null): Catalog {
  const parsed = parseCatalog({
    hosts: [{ id: "h", engine: "vllm", reach: { via: "direct", url: "http://h.internal" } }],
    models: [{ id: "m", served: [{ host: "h", as: "inside" }], storeContent: true, price: price ?? undefined }],
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return parsed.catalog;
}

/** The draft of a chat that came with these headers from this caller. */
function draft(
  headers: Record<string, string> = {},
  changed: Partial<KnownCall["principal"]> = {},
  price: Price | null = PRICE,
) {
  const call = {
    request: new Request("http://x/v1/chat/completions", { method: "POST", headers }),
    requestId: uuidv7(NOW_MS),
    arrivedAtMs: NOW_MS,
    address: "203.0.113.7",
    catalog: catalog(price),
    principal: { ...CALLER, ...changed },
  } as unknown as KnownCall;
  const [model] = call.catalog.models;
  if (model === undefined) throw new Error("no model");
  const question = questionOf("chat", { model: "m", messages: [{ role: "user", content: "a secret" }] });
  return draftOf(call, question, model, { promptTokens: 40, completionTokens: 500 }, "miss");
}

test("who asked, for what, and what is reserved: nothing that a host would have said", () => {
  const event = draft({ "x-workflow-id": "nightly", cookie: "c=1" });
  expect(event).toEqual({
    v: 1,
    kind: "inference",
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    atMs: NOW_MS,
    route: "chat",
    model: "m",
    account: "https://id.test/|alice",
    userId: "alice",
    tenant: "acme",
    keyId: null,
    tier: "premium",
    ip: "203.0.113.7",
    workflowId: "nightly",
    traceId: null,
    host: null,
    hosts: [],
    servedAs: null,
    promptTokens: 40,
    completionTokens: 500,
    cachedTokens: null,
    estimated: true,
    wastedTokens: null,
    savedTokens: 0,
    ttftMs: null,
    latencyMs: 0,
    queueWaitMs: null,
    hostMs: null,
    finishReason: null,
    outcome: "abandoned",
    attempts: 0,
    cache: "miss",
    admittedBy: "account",
    placedBy: "fleet",
    // What is reserved, at the model's price.
    costMicros: 540_000,
    priceVersion: "2026",
    content: null,
  });
  // As the consumer reads it: should the isolate die, this very draft is the ledger's row.
  expect(usageEvent.parse(event)).toEqual(event);
});

test("a caller of no tenant, with a key", () => {
  expect(draft({}, { tenant: null, keyId: "key_1", accountId: "key|ci", userId: "ci" })).toMatchObject({
    tenant: null,
    keyId: "key_1",
    account: "key|ci",
    userId: "ci",
  });
});

describe("what it would cost, should nobody say what it did", () => {
  test.each<{ name: string; price: Price | null; costMicros: number | null }>([
    { name: "by its tokens", price: { ...PRICE, perRequest: 0.001 }, costMicros: 541_000 },
    { name: "unknown without a price", price: null, costMicros: null },
    { name: "unknown where the host's time counts", price: { ...PRICE, hostTime: true }, costMicros: null },
    { name: "unknown where a GPU's seconds count", price: { ...PRICE, perGpuSecond: 1 }, costMicros: null },
  ])("$name", ({ price, costMicros }) => {
    expect(draft({}, {}, price)).toMatchObject({ costMicros, priceVersion: price === null ? null : "2026" });
  });
});

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";

/** W3C Trace Context, 2.2.2, 3.2.2 and 4.3. */
describe("the trace", () => {
  test.each<{ name: string; traceparent: string; traceId: string | null }>([
    { name: "sampled", traceparent: `00-${TRACE}-${PARENT}-01`, traceId: TRACE },
    { name: "not sampled", traceparent: `00-${TRACE}-${PARENT}-00`, traceId: TRACE },
    { name: "of a version to come, with more behind", traceparent: `cc-${TRACE}-${PARENT}-01-what`, traceId: TRACE },
    { name: "of zeros", traceparent: `00-${"0".repeat(32)}-${PARENT}-01`, traceId: null },
    { name: "of a parent of zeros", traceparent: `00-${TRACE}-${"0".repeat(16)}-01`, traceId: null },
    { name: "of the forbidden version", traceparent: `ff-${TRACE}-${PARENT}-01`, traceId: null },
    { name: "in capitals", traceparent: `00-${TRACE.toUpperCase()}-${PARENT}-01`, traceId: null },
    { name: "too short", traceparent: `00-${TRACE.slice(1)}-${PARENT}-01`, traceId: null },
    { name: "too long", traceparent: `00-${TRACE}0-${PARENT}-01`, traceId: null },
    { name: "no hexadecimal", traceparent: `00-${TRACE.slice(1)}g-${PARENT}-01`, traceId: null },
    { name: "without flags", traceparent: `00-${TRACE}-${PARENT}`, traceId: null },
    { name: "with longer flags", traceparent: `00-${TRACE}-${PARENT}-01a`, traceId: null },
    { name: "behind something else", traceparent: `x00-${TRACE}-${PARENT}-01`, traceId: null },
    { name: "two, joined", traceparent: `00-${TRACE}-${PARENT}-01, 00-${TRACE}-${PARENT}-01`, traceId: null },
    { name: "some text", traceparent: "'; DROP TABLE inference_logs; --", traceId: null },
    { name: "empty", traceparent: "", traceId: null },
  ])("$name: $traceId", ({ traceparent, traceId }) => {
    expect(draft({ traceparent }).traceId).toBe(traceId);
  });
});

test.each(["with space", "", "a".repeat(129), "caf\u00e9"])("a workflow id of %j is none", (id) => {
  expect(draft({ "x-workflow-id": id }).workflowId).toBeNull();
});
