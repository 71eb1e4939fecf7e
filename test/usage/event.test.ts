import { v4 as uuidv4, v7 as uuidv7 } from "uuid";
import { describe, expect, test } from "vitest";
import { inferenceEvent, usageEvent } from "#src/usage/event.ts";
import { auditWith } from "#test/support/audit-events.ts";
import { eventWith, feedbackWith, hostStateWith } from "#test/support/events.ts";

test("an event survives the queue's serialisation unchanged", () => {
  const event = eventWith();
  expect(usageEvent.parse(structuredClone(event))).toEqual(event);
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
    for (const event of [eventWith(), auditWith(), feedbackWith(), hostStateWith()]) {
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
  ])("$name", ({ changed, path }) => {
    const parsed = usageEvent.safeParse({ ...eventWith(), ...changed });
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
    { name: "the time is no count", changed: { atMs: 1_790_000_000_000 }, read: { atMs: 1_790_000_000_000 } },
  ])("$name", ({ changed, read }) => {
    expect(usageEvent.parse({ ...eventWith(), ...changed })).toMatchObject(read);
  });
});
