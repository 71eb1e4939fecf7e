// What truth counts when the caller goes away: the tokens that went out to somebody who was there, to the token.
import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import type { LabHost } from "#scripts/lab/host.ts";
import { chatBody, hostFor, truthOf, until } from "./asking.ts";

/** Asks for a stream on a connection of its own and leaves once this many token events are there, in the same turn. */
function leaveAfter(host: LabHost, tokens: number, how: "close" | "reset"): Promise<number> {
  const body = JSON.stringify(chatBody("[[tokens=4000]]", { stream: true }));
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: lab\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(host.port, "127.0.0.1", () => socket.write(head + body));
    let text = "";
    socket.on("error", reject);
    socket.on("data", (part: Buffer) => {
      text += part.toString("latin1");
      const received = text.split('"content":"').length - 1 - (text.includes('"content":""') ? 1 : 0);
      if (received < tokens) return;
      socket.removeAllListeners("data");
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
      socket.once("close", () => resolve(received));
    });
  });
}

const aborted = (host: LabHost, count: number) =>
  until(
    () => truthOf(host),
    (entries) => entries.length === count && entries.every(({ ended }) => ended === "aborted"),
  );

describe.each(["close", "reset"] as const)("a caller who leaves by %s", (how) => {
  test("while tokens flow: truth has exactly those that it read", async () => {
    const host = await hostFor({ tokensPerSecond: 1000, ttftMs: 0, slots: 64 });
    const received = await Promise.all(Array.from({ length: 40 }, (_, at) => leaveAfter(host, 1 + at, how)));
    const entries = await aborted(host, 40);
    const sum = (counts: readonly number[]): number => counts.reduce((total, one) => total + one, 0);
    expect(sum(entries.map(({ completionTokens }) => completionTokens))).toBe(sum(received));
  });
});
