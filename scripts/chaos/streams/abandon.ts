/** A caller who asks for a stream and leaves: it closes its connection, and says when that was. Judges nothing. */
import { request } from "node:http";

export type Leaving = {
  /** From when on it is counted: the question was sent, or the answer's first token was there. */
  readonly since: "sent" | "content";
  readonly afterMs: number;
};

export type Abandoned = {
  readonly requestId: string | null;
  /** Since the epoch; null when the answer was over before. */
  readonly leftAtMs: number | null;
  readonly status: number | null;
};

/** Nobody waits for content for ever. */
const PATIENCE_MS = 60_000;

/** Asks on a connection of its own, and leaves. Never rejects. */
export function abandon(
  gateway: string,
  credential: string,
  workflow: string,
  body: Readonly<Record<string, unknown>>,
  { since, afterMs }: Leaving,
): Promise<Abandoned> {
  const text = JSON.stringify(body);
  return new Promise((resolve) => {
    let requestId: string | null = null;
    let status: number | null = null;
    let timer: NodeJS.Timeout | null = null;
    const asked = request(`${gateway}/v1/chat/completions`, {
      method: "POST",
      agent: false,
      timeout: PATIENCE_MS,
      headers: {
        authorization: `Bearer ${credential}`,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(text),
        "x-workflow-id": workflow,
      },
    });
    const over = (leftAtMs: number | null): void => {
      if (timer !== null) clearTimeout(timer);
      asked.destroy();
      resolve({ requestId, leftAtMs, status });
    };
    const leaveSoon = (): void => {
      timer ??= setTimeout(() => over(Date.now()), afterMs);
    };
    asked.on("timeout", () => over(null));
    asked.on("error", () => over(null));
    asked.on("response", (response) => {
      requestId = response.headers["x-request-id"]?.toString() ?? null;
      status = response.statusCode ?? null;
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        if (part.includes('"content":"')) leaveSoon();
      });
      response.on("error", () => over(null));
      response.on("end", () => over(null));
    });
    asked.end(text, () => {
      if (since === "sent") leaveSoon();
    });
  });
}
