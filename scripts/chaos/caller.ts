/** One caller and its question, on a connection of its own: what it saw of the gateway. Judges nothing. */
import { request } from "node:http";
import { z } from "zod";

export type Question = {
  /** Marks the question in the ledger. */
  readonly workflow: string;
  /** Which of the stage's callers asks. */
  readonly caller: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
};

export type Seen = {
  readonly question: Question;
  /** Since the epoch. */
  readonly sentAtMs: number;
  /** Null when the connection was lost before an answer began. */
  readonly status: number | null;
  readonly requestId: string | null;
  /** As the answer's headers name it: not known yet where the answer began before a host had spoken. */
  readonly host: string | null;
  readonly retryAfterS: number | null;
  /** After `sentAtMs`. */
  readonly headersAfterMs: number | null;
  /** When the first token came; null where none did, and for answers that are not streamed. */
  readonly firstTokenAfterMs: number | null;
  readonly endAfterMs: number;
  /** As the answer says at its end; 0 of an answer that has none. */
  readonly completionTokens: number;
  readonly end: "whole" | "refused" | "failed";
  /** What the gateway said of a refusal or a failure. */
  readonly code: string | null;
};

/** Longer than any answer may take (the catalog's deadlines). */
const PATIENCE_MS = 60_000;

const problem = z.object({ error: z.object({ code: z.string().nullable() }) });
const answer = z.object({ usage: z.object({ completion_tokens: z.number() }).nullish() });

/** Asks one question, and stays until its end. Never rejects. */
export function ask(gateway: string, credential: string, question: Question): Promise<Seen> {
  const body = JSON.stringify(question.body);
  const headers = {
    ...question.headers,
    authorization: `Bearer ${credential}`,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "x-workflow-id": question.workflow,
  };
  const sentAtMs = Date.now();
  const since = performance.now();
  const afterMs = (): number => performance.now() - since;
  return new Promise((resolve) => {
    let seen: Omit<Seen, "end" | "code" | "completionTokens" | "endAfterMs"> = {
      question,
      sentAtMs,
      status: null,
      requestId: null,
      host: null,
      retryAfterS: null,
      headersAfterMs: null,
      firstTokenAfterMs: null,
    };
    let text = "";
    const asked = request(`${gateway}/v1/chat/completions`, {
      method: "POST",
      agent: false,
      headers,
      timeout: PATIENCE_MS,
    });
    const settle = (isLost: boolean): void => {
      asked.destroy();
      resolve({ ...seen, endAfterMs: afterMs(), ...endOf(seen.status, text, isLost, question.body.stream === true) });
    };
    asked.on("timeout", () => settle(true));
    asked.on("error", () => settle(true));
    asked.on("response", (response) => {
      const header = (name: string): string | null => response.headers[name]?.toString() ?? null;
      const retryAfter = header("retry-after");
      seen = {
        ...seen,
        status: response.statusCode ?? null,
        requestId: header("x-request-id"),
        host: header("x-causeway-host"),
        retryAfterS: retryAfter === null ? null : Number(retryAfter),
        headersAfterMs: afterMs(),
      };
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        // Heartbeats are comments; the first event of data is the first token's.
        if (seen.firstTokenAfterMs === null && part.includes('data: {"id"'))
          seen = { ...seen, firstTokenAfterMs: afterMs() };
        text += part;
      });
      response.on("error", () => settle(true));
      response.on("end", () => settle(false));
    });
    asked.end(body);
  });
}

function endOf(
  status: number | null,
  text: string,
  isLost: boolean,
  isStream: boolean,
): Pick<Seen, "end" | "code" | "completionTokens"> {
  if (status !== 200 || isLost) {
    const code = isLost ? "connection_lost" : codeIn(text);
    return { end: !isLost && (status === 429 || status === 503) ? "refused" : "failed", code, completionTokens: 0 };
  }
  if (!isStream) return { end: "whole", code: null, completionTokens: tokensIn(text) };
  const events = text.split("\n\n").filter((event) => event.startsWith("data: "));
  if (events.at(-1) !== "data: [DONE]")
    return { end: "failed", code: codeIn(events.at(-1)?.slice("data: ".length) ?? ""), completionTokens: 0 };
  // The usage that was asked for stands in the last event before the end.
  return { end: "whole", code: null, completionTokens: tokensIn(events.at(-2)?.slice("data: ".length) ?? "") };
}

function codeIn(text: string): string | null {
  const parsed = problem.safeParse(jsonOf(text));
  return parsed.success ? parsed.data.error.code : null;
}

function tokensIn(text: string): number {
  const parsed = answer.safeParse(jsonOf(text));
  return parsed.success ? (parsed.data.usage?.completion_tokens ?? 0) : 0;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
