/**
 * One streamed question, seen by two judges at once: the official `openai` client, as a caller would have it, and beside
 * it a reader of the very bytes that the client gets. Judges nothing itself.
 */
import OpenAI from "openai";
import type { ChatCompletionCreateParamsStreaming } from "openai/resources/chat/completions";
import { type Raw, RawReader } from "./raw-reader.ts";

export type Asked = {
  readonly number: number;
  readonly model: string;
  readonly content: string;
  readonly maxTokens: number;
  readonly stop: readonly string[];
};

export type Witnessed = {
  readonly asked: Asked;
  /** On the clock of what is in `raw`. */
  readonly askedAtMs: number;
  readonly requestId: string | null;
  readonly status: number | null;
  /** How the client took it. */
  readonly client: {
    /** Read to its end, thrown at the head, or thrown within the stream. */
    readonly end: "read" | "refused" | "threw";
    readonly text: string;
    readonly finishReason: string | null;
    readonly completionTokens: number | null;
    readonly code: string | null;
  };
  /** Null where no stream began. */
  readonly raw: Raw | null;
  /** The connection broke, as the bytes' reader saw it. */
  readonly isLost: boolean;
};

/** Longer than any deadline of the scenario's models. */
const PATIENCE_MS = 60_000;

/** Asks, and stays until the end. Never rejects. */
export async function witness(gateway: string, apiKey: string, workflow: string, asked: Asked): Promise<Witnessed> {
  const tap = new Tap();
  const client = new OpenAI({
    apiKey,
    baseURL: `${gateway}/v1`,
    maxRetries: 0,
    timeout: PATIENCE_MS,
    fetch: tap.fetch,
  });
  const askedAtMs = performance.now();
  const seen = await heard(client, workflow, asked);
  const { requestId, status, bytes } = tap;
  return { asked, askedAtMs, requestId, status, client: seen, ...(await bytes) };
}

async function heard(client: OpenAI, workflow: string, asked: Asked): Promise<Witnessed["client"]> {
  let text = "";
  let finishReason: string | null = null;
  let completionTokens: number | null = null;
  const told = () => ({ text, finishReason, completionTokens });
  let isOpen = false;
  try {
    const stream = await client.chat.completions.create(bodyOf(asked), { headers: { "x-workflow-id": workflow } });
    isOpen = true;
    for await (const { choices, usage } of stream) {
      text += choices[0]?.delta.content ?? "";
      finishReason = choices[0]?.finish_reason ?? finishReason;
      completionTokens = usage?.completion_tokens ?? completionTokens;
    }
    return { end: "read", code: null, ...told() };
  } catch (error) {
    const code = error instanceof OpenAI.APIError ? (error.code ?? null) : String(error);
    return { end: isOpen ? "threw" : "refused", code, ...told() };
  }
}

export function bodyOf({ model, content, maxTokens, stop }: Asked): ChatCompletionCreateParamsStreaming {
  return {
    model,
    messages: [{ role: "user", content }],
    max_tokens: maxTokens,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
    ...(stop.length === 0 ? {} : { stop: [...stop] }),
  };
}

/** A `fetch` that hands every byte of the answer to a reader too. */
class Tap {
  requestId: string | null = null;
  status: number | null = null;
  /** What the reader has found, once the answer is over. */
  bytes: Promise<{ readonly raw: Raw | null; readonly isLost: boolean }> = Promise.resolve({
    raw: null,
    isLost: false,
  });

  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    // Not the client's signal: it hangs up once it has read an error, and the end of the bytes is to be seen too.
    const response = await fetch(input, { ...init, signal: AbortSignal.timeout(PATIENCE_MS) });
    this.requestId = response.headers.get("x-request-id");
    this.status = response.status;
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
    if (!isStream || response.body === null) return response;
    const [theirs, ours] = response.body.tee();
    this.bytes = readAll(ours);
    return new Response(theirs, { status: response.status, headers: response.headers });
  };
}

async function readAll(body: ReadableStream<Uint8Array>): Promise<{ raw: Raw; isLost: boolean }> {
  const reader = new RawReader();
  let isLost = false;
  try {
    for await (const bytes of body) reader.push(bytes, performance.now());
  } catch {
    isLost = true;
  }
  return { raw: reader.end(performance.now()), isLost };
}
