/**
 * What the network does to an answer is nobody's business: recorded answers of both engines, cut into chunks in any way,
 * through the whole Worker. The caller's events and the ledger's row are those of the answer that came in one piece.
 */
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import { seeded } from "#scripts/storm/chance.ts";
import { inSession } from "#src/postgres/session.ts";
import { utf8 } from "#test/sse/chunking.ts";
import { CHAT } from "#test/support/gateway.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";
import { ENGINES, type Engine, PROMPT_TOKENS, steps, TRICKY, wire } from "#test/upstream/transcripts.ts";

declare module "vitest" {
  interface ProvidedContext {
    chunkings: number;
  }
}

const WIDE = { rpm: 1e9, rph: 1e9, rpd: 1e9, tpm: 1e12, concurrency: 1e6, share: 1 };
/** Longer than the largest chunk, which is 64 KiB. */
const LONG = TRICKY.repeat(40);
/** The largest chunk of a chunking; the smallest is one byte. */
const LARGEST = [1, 2, 3, 7, 16, 64, 512, 4_096, 65_536] as const;
/** So that a long answer does not come in half a million chunks. */
const LARGEST_OF_LONG = LARGEST.filter((bytes) => bytes >= 512);

type Recorded = {
  readonly name: string;
  readonly engine: Engine;
  readonly bytes: Uint8Array;
  readonly largest: readonly number[];
  readonly completionTokens: number;
};

const RECORDED: readonly Recorded[] = ENGINES.flatMap((engine) =>
  [
    { name: engine.name, lineEnd: "\n", script: TRICKY, largest: LARGEST },
    { name: `${engine.name}, CR LF`, lineEnd: "\r\n", script: TRICKY, largest: LARGEST },
    { name: `${engine.name}, long`, lineEnd: "\n", script: LONG, largest: LARGEST_OF_LONG },
  ].map(({ name, lineEnd, script, largest }) => {
    const shape = engine.shape({ include: true, continuous: true, timings: true });
    const made = steps(shape, { n: engine.n ?? 1, script, maxTokens: 10_000 });
    const { completionTokens = 0 } = made.at(-1) ?? {};
    return { name, engine, largest, completionTokens, bytes: utf8(wire(made).replaceAll("\n", lineEnd)) };
  }),
);

let gateway: Awaited<ReturnType<typeof withHosts>>["gateway"];
let hosts: Record<string, StandIn>;

beforeAll(async () => {
  vi.spyOn(console, "log").mockReturnValue();
  const each = ["vllm", "llamacpp"].map((engine) => hostOf(engine, { engine, slots: 1_000 }));
  const models = each.map(({ id }) => modelOn(id, [id]));
  ({ gateway, hosts } = await withHosts(each, models, { tiers: { default: WIDE } }));
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** Chunks of random sizes from one byte to the largest, each with a buffer of its own, as reads from a socket are. */
function cut(bytes: Uint8Array, largest: number, chance: () => number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const size = 1 + Math.floor(chance() * largest);
    chunks.push(bytes.slice(at, at + size));
    at += size;
  }
  return chunks;
}

function replay(chunks: readonly Uint8Array[]): Response {
  const left = chunks.values();
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const { value } = left.next();
      if (value === undefined) controller.close();
      else controller.enqueue(value);
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

/** Events as the grammar has them: a line ends with CR LF, LF or CR, and an empty one ends an event. */
function eventsIn(text: string): string[] {
  const events: string[] = [];
  let lines: string[] = [];
  for (const line of text.split(/\r\n|\r|\n/)) {
    if (line !== "") lines.push(line);
    else if (lines.length > 0) {
      const event = lines.join("\n");
      if (!event.startsWith(":")) events.push(event);
      lines = [];
    }
  }
  return lines.length === 0 ? events : [...events, `cut: ${lines.join("\n")}`];
}

/** The caller's events when the host answers in these chunks; heartbeats are left out. */
async function heard({ engine }: Recorded, chunks: readonly Uint8Array[], workflow: string): Promise<string[]> {
  const host = hosts[engine.engine];
  if (host === undefined) throw new Error(`no host plays ${engine.engine}`);
  host.answer = () => replay(chunks);
  const isChat = engine.route === "chat";
  const response = await gateway.ask(isChat ? "/v1/chat/completions" : "/v1/completions", {
    body: {
      ...(isChat ? { messages: CHAT.messages } : { prompt: "hi" }),
      model: engine.engine,
      n: engine.n ?? 1,
      stream: true,
      stream_options: { include_usage: true },
    },
    headers: { "x-workflow-id": workflow },
  });
  return eventsIn(await response.text());
}

/** What the ledger has of these requests, once it has all of them: each different row, and how often. */
async function rowsOf(workflow: string, requests: number): Promise<Record<string, unknown>[]> {
  const text = `SELECT prompt_tokens, completion_tokens, cached_tokens, estimated, finish_reason, outcome,
    count(*)::int AS requests FROM inference_logs WHERE workflow_id = $1 GROUP BY 1, 2, 3, 4, 5, 6`;
  return vi.waitFor(
    async () => {
      const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [workflow]));
      expect(rows.reduce((sum, row) => sum + Number(row.requests), 0)).toBe(requests);
      return rows;
    },
    { timeout: 30_000, interval: 200 },
  );
}

test("recorded answers in any chunks: the caller's events and the ledger are the same", async ({ annotate }) => {
  const wanted = inject("chunkings");
  const seed = Date.now() % 1_000_000;
  await annotate(`seed ${seed}`);
  const run = crypto.randomUUID();
  const each = Math.ceil(wanted / RECORDED.length);
  let done = 0;
  const play = async (recorded: Recorded, at: number): Promise<void> => {
    const chance = seeded(seed + at);
    const workflow = `${run}-${at}`;
    const whole = await heard(recorded, [recorded.bytes], workflow);
    // What is compared with is an answer to its end, and not the same failure each time.
    expect([recorded.name, whole.at(-1)]).toEqual([recorded.name, "data: [DONE]"]);
    for (let number = 0; number < each; number++) {
      const largest = recorded.largest[number % recorded.largest.length] ?? 1;
      const chunks = cut(recorded.bytes, largest, chance);
      expect(await heard(recorded, chunks, workflow), `${recorded.name}, up to ${largest} bytes, ${number}`).toEqual(
        whole,
      );
      done += 1;
    }
    expect(await rowsOf(workflow, each + 1)).toEqual([
      {
        prompt_tokens: PROMPT_TOKENS,
        completion_tokens: recorded.completionTokens,
        cached_tokens: 3,
        estimated: false,
        finish_reason: expect.any(String),
        outcome: "complete",
        requests: each + 1,
      },
    ]);
  };
  const lane = async (engine: Engine["engine"]): Promise<void> => {
    for (const [at, recorded] of RECORDED.entries()) if (recorded.engine.engine === engine) await play(recorded, at);
  };
  await Promise.all([lane("vllm"), lane("llamacpp")]);
  expect(done).toBeGreaterThanOrEqual(wanted);
}, 900_000);
