import { v4 as uuidv4, v7 as uuidv7 } from "uuid";
import { describe, expect, test } from "vitest";
import { inferenceEvent, usageEvent } from "#src/usage/event.ts";
import { auditWith } from "#test/support/audit-events.ts";
import { eventWith, feedbackWith, hostLoadWith, hostStateWith } from "#test/support/events.ts";

test("events of every kind survive the queue's serialisation unchanged", () => {
  const known = { tenant: "acme", traceId: "4bf92f3577b34da6a3ce929d0e0e4736", cachedTokens: 4, queueWaitMs: 3 };
  const content = { prompt: "p", response: "r" };
  const unknown = { host: null, servedAs: null, hostMs: null, costMicros: null, priceVersion: null, ttftMs: null };
  for (const event of [
    eventWith(),
    eventWith({ ...known, content }),
    eventWith({ ...unknown, admittedBy: "local", placedBy: "local" }),
    auditWith(),
    feedbackWith(),
    feedbackWith({ satisfaction: null, accuracy: null, comment: "so so" }),
    hostStateWith({ previous: null, reason: null }),
    hostLoadWith(),
    hostLoadWith({ running: null, waiting: null, kvUsage: null }),
  ])
    expect(usageEvent.parse(JSON.parse(JSON.stringify(event)))).toEqual(event);
});

test("an event from before the fleet was asked was placed by it", () => {
  const { placedBy: _, ...before } = eventWith({ placedBy: "local" });
  expect(usageEvent.parse(before)).toMatchObject({ placedBy: "fleet" });
});

test("members it does not know are dropped, so that no content slips into the ledger", () => {
  expect(usageEvent.parse({ ...eventWith(), prompt: "secret" })).not.toHaveProperty("prompt");
});

test("only its content could hold a prompt, an answer or a credential", () => {
  expect(
    Object.keys(inferenceEvent.shape).filter((name) => /prompt$|answer|content|token$|secret|key$/i.test(name)),
  ).toEqual(["content"]);
});

describe("an id that tells when it was minted", () => {
  const AT_MS = 1_790_000_000_123;
  test.each<{ name: string; id: string; taken: boolean }>([
    { name: "then", id: uuidv7({ msecs: AT_MS }), taken: true },
    { name: "then, in capitals", id: uuidv7({ msecs: AT_MS }).toUpperCase(), taken: true },
    { name: "a millisecond later", id: uuidv7({ msecs: AT_MS + 1 }), taken: false },
    { name: "a day before", id: uuidv7({ msecs: AT_MS - 86_400_000 }), taken: false },
    { name: "it does not tell", id: uuidv4(), taken: true },
  ])("$name", ({ id, taken }) => {
    for (const event of [eventWith(), auditWith(), feedbackWith(), hostStateWith(), hostLoadWith()]) {
      const parsed = usageEvent.safeParse({ ...event, id, atMs: AT_MS });
      expect(parsed.error?.issues.map((issue) => issue.path.join(".")) ?? []).toEqual(taken ? [] : ["id"]);
    }
  });
});

describe("refused", () => {
  test.each<{ name: string; changed: Record<string, unknown>; path: string }>([
    { name: "a fraction of a token", changed: { promptTokens: 1.5 }, path: "promptTokens" },
    { name: "infinitely many", changed: { completionTokens: Number.POSITIVE_INFINITY }, path: "completionTokens" },
    { name: "an outcome of a later version", changed: { outcome: "resumed" }, path: "outcome" },
    { name: "an id that is no UUID", changed: { id: "x" }, path: "id" },
    { name: "a later version", changed: { v: 2 }, path: "v" },
    { name: "another kind", changed: { kind: "chat" }, path: "kind" },
    { name: "admitted by somebody else", changed: { admittedBy: "nobody" }, path: "admittedBy" },
    { name: "placed by somebody else", changed: { placedBy: "nobody" }, path: "placedBy" },
    { name: "a part from the cache below zero", changed: { cachedTokens: -1 }, path: "cachedTokens" },
    { name: "half a micro-dollar", changed: { costMicros: 0.5 }, path: "costMicros" },
    { name: "no account", changed: { account: undefined }, path: "account" },
    { name: "half of what was said", changed: { content: { prompt: "p" } }, path: "content.response" },
  ])("$name", ({ changed, path }) => {
    const parsed = usageEvent.safeParse({ ...eventWith(), ...changed });
    expect(parsed.error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
  });

  test.each<{ name: string; changed: Record<string, unknown>; path: string }>([
    ...[0, 11, 7.5].map((satisfaction) => ({
      name: `a satisfaction of ${satisfaction}`,
      changed: { satisfaction },
      path: "satisfaction",
    })),
    ...[-0.1, 1.1, Number.NaN].map((accuracy) => ({
      name: `an accuracy of ${accuracy}`,
      changed: { accuracy },
      path: "accuracy",
    })),
    { name: "on no request", changed: { requestId: "x" }, path: "requestId" },
  ])("feedback: $name", ({ changed, path }) => {
    const parsed = usageEvent.safeParse({ ...feedbackWith(), ...changed });
    expect(parsed.error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
  });

  test.each<{ name: string; changed: Record<string, unknown>; path: string }>([
    { name: "half a slot", changed: { slots: 0.5 }, path: "slots" },
    { name: "no host", changed: { host: null }, path: "host" },
    { name: "no state", changed: { state: undefined }, path: "state" },
  ])("a host's state: $name", ({ changed, path }) => {
    const parsed = usageEvent.safeParse({ ...hostStateWith(), ...changed });
    expect(parsed.error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
  });

  test.each<{ name: string; changed: Record<string, unknown>; path: string }>([
    { name: "less than none", changed: { running: -1 }, path: "running" },
    { name: "not even that it is unknown", changed: { waiting: undefined }, path: "waiting" },
    { name: "a cache that is over-full", changed: { kvUsage: 1.1 }, path: "kvUsage" },
    { name: "in flight unknown", changed: { inFlight: null }, path: "inFlight" },
    { name: "half a caller in line", changed: { inLine: 0.5 }, path: "inLine" },
  ])("a host's load: $name", ({ changed, path }) => {
    const parsed = usageEvent.safeParse({ ...hostLoadWith(), ...changed });
    expect(parsed.error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
  });
});

describe("made fit for the ledger", () => {
  test.each<{ name: string; changed: Record<string, unknown>; read: Record<string, unknown> }>([
    { name: "NUL in a name", changed: { userId: "a\0b" }, read: { userId: "a\ufffdb" } },
    { name: "half a surrogate pair", changed: { model: "a\udc00" }, read: { model: "a\ufffd" } },
    { name: "a whole pair stays", changed: { model: "a🚇" }, read: { model: "a🚇" } },
    { name: "no address", changed: { ip: "localhost" }, read: { ip: null } },
    { name: "IPv6", changed: { ip: "2001:db8::1" }, read: { ip: "2001:db8::1" } },
    { name: "more than an integer", changed: { savedTokens: 2 ** 40 }, read: { savedTokens: 2 ** 31 - 1 } },
    {
      name: "NUL in what was said",
      changed: { content: { prompt: "a\0", response: "\ud800" } },
      read: { content: { prompt: "a\ufffd", response: "\ufffd" } },
    },
    {
      name: "more from the cache than an integer",
      changed: { cachedTokens: 2 ** 40 },
      read: { cachedTokens: 2 ** 31 - 1 },
    },
    { name: "money is no count", changed: { costMicros: 2 ** 40 }, read: { costMicros: 2 ** 40 } },
    { name: "the time is no count", changed: { atMs: 1_790_000_000_000 }, read: { atMs: 1_790_000_000_000 } },
  ])("$name", ({ changed, read }) => {
    expect(usageEvent.parse({ ...eventWith(), ...changed })).toMatchObject(read);
  });
});
