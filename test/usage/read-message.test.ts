import { describe, expect, test } from "vitest";
import { bodyText, readMessage } from "#src/usage/read-message.ts";
import { eventWith } from "#test/support/events.ts";

const OUTBOX = "0".repeat(64);
const event = eventWith();

describe("a message", () => {
  test.each([OUTBOX, null])("with an event, of the outbox %s", (outbox) => {
    expect(readMessage({ event, outbox })).toEqual({ kind: "event", event, outbox });
  });

  test.each<{ name: string; body: unknown; id: string | null; outbox: string | null }>([
    { name: "a bare event", body: event, id: null, outbox: null },
    { name: "no outbox named", body: { event }, id: event.id, outbox: null },
    { name: "an outbox that is none", body: { event, outbox: "x" }, id: event.id, outbox: null },
    { name: "an unknown kind", body: { event: { ...event, kind: "x" }, outbox: OUTBOX }, id: event.id, outbox: OUTBOX },
    { name: "an id of another sort", body: { event: { id: 7 }, outbox: OUTBOX }, id: null, outbox: OUTBOX },
    { name: "an empty id", body: { event: { id: "" }, outbox: null }, id: null, outbox: null },
    { name: "a long id", body: { event: { id: "x".repeat(129) }, outbox: null }, id: null, outbox: null },
    { name: "an event that is none", body: { event: [], outbox: OUTBOX }, id: null, outbox: OUTBOX },
    { name: "text", body: "x", id: null, outbox: null },
    { name: "nothing", body: undefined, id: null, outbox: null },
  ])("with $name tells what it can", ({ body, id, outbox }) => {
    expect(readMessage(body)).toEqual({ kind: "unknown", id, outbox, reason: expect.any(String) });
  });

  test("says where it is wrong, and not what stood there", () => {
    const read = readMessage({ event: { ...event, promptTokens: "secret" }, outbox: null });
    expect(read).toMatchObject({ reason: expect.stringContaining("event.promptTokens") });
    expect(JSON.stringify(read)).not.toContain("secret");
  });
});

describe("a body as text", () => {
  const circle: Record<string, unknown> = {};
  circle.itself = circle;
  const deep = Array.from({ length: 100_000 }).reduce<unknown>((inner) => [inner], 0);
  test.each<{ name: string; body: unknown; text: string }>([
    { name: "an object", body: { a: [1, null, "\0\ud83d"] }, text: '{"a":[1,null,"\\u0000\\ud83d"]}' },
    { name: "nothing", body: undefined, text: "null" },
    { name: "a big number", body: { n: 2n ** 70n }, text: '{"n":"1180591620717411303424"}' },
    { name: "a circle", body: circle, text: '"a body that cannot be written as JSON"' },
    {
      name: "a name of its own that is none",
      body: { toString: 1, circle },
      text: '"a body that cannot be written as JSON"',
    },
    { name: "too deep a nest", body: { deep }, text: '"a body that cannot be written as JSON"' },
    { name: "nothing but a nest", body: deep, text: '"a body that cannot be written as JSON"' },
  ])("$name", ({ body, text }) => {
    expect(bodyText(body)).toBe(text);
  });
});
