import { describe, expect, test, vi } from "vitest";
import { type LogLine, noteProblem, writeLogLine } from "#src/metrics/log-line.ts";
import { Problem } from "#src/problem.ts";

const line = (): LogLine => ({ requestId: "r", method: "POST", route: "/v1/chat/completions" });

test("a line is one JSON document", () => {
  const log = vi.spyOn(console, "log").mockReturnValue();
  writeLogLine({ ...line(), status: 200, tookMs: 5, userId: "a\nb" });
  const [[text]] = log.mock.calls as [[string]];
  log.mockRestore();
  expect(text).not.toContain("\n");
  expect(JSON.parse(text)).toEqual({ ...line(), status: 200, tookMs: 5, userId: "a\nb" });
});

/** What `JSON.parse` throws quotes the text it read. */
function syntaxError(): unknown {
  try {
    return JSON.parse("my secret prompt");
  } catch (cause) {
    return cause;
  }
}

describe("a problem's cause", () => {
  test.each<{ name: string; cause: unknown; is: string | undefined }>([
    { name: "none", cause: undefined, is: undefined },
    { name: "text", cause: "no such key", is: "no such key" },
    { name: "an error, without its stack", cause: new TypeError("network"), is: "TypeError: network" },
    { name: "a parser's error, without what it read", cause: syntaxError(), is: "SyntaxError" },
    { name: "null", cause: null, is: "null" },
  ])("$name", ({ cause, is }) => {
    const noted = line();
    noteProblem(noted, new Problem("internal_error", { cause }));
    expect(noted).toEqual({ ...line(), code: "internal_error", ...(is === undefined ? {} : { cause: is }) });
  });
});
