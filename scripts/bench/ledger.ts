/**
 * `npm run bench -- ledger`: the queue's consumer against a Postgres of its own, started for it and ended with it. Runs
 * the gateway's own code on Node; Postgres works on the same cores. Rows per second with as many batches under way as the
 * platform allows, and how long a batch's insert and commit take at the pace of the goal and at full speed.
 */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { v7 as uuidv7 } from "uuid";
import { migrate } from "#scripts/stack/migrate.ts";
import { startTemporaryPostgres } from "#scripts/stack/temporary-postgres.ts";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import { inSession, type Session } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import { consume } from "#src/usage/consume.ts";
import type { InferenceEvent } from "#src/usage/event.ts";

/** As in wrangler.toml. */
const BATCH = 100;
const AT_ONCE = 5;
const GOAL = { rowsPerSecond: 5_000, insertP99Ms: 50 };
const BATCHES = { warmUp: 50, measured: 600 };
/** Requests of one minute share these, so that the sums are as hot as in a busy gateway. */
const [ACCOUNTS, MODELS, HOSTS] = [40, 6, 6];
const WHOLE_BENCH_MS = 600_000;

const REFUSED = "refused";

type Write = (events: InferenceEvent[]) => Promise<void>;
/** Gives its work what writes one batch. */
type Open = (work: (write: Write) => Promise<void>) => Promise<void>;
type Run = {
  readonly name: string;
  readonly open: Open;
  /** Workers, each with one batch at a time. */
  readonly atOnce: number;
  /** Infinity: as fast as it goes. */
  readonly rowsPerSecond: number;
};
const RUNS: readonly Run[] = [
  { name: "connect, check, insert, commit, ack", open: wholeBatches, atOnce: AT_ONCE, rowsPerSecond: Infinity },
  {
    name: "the same, each with a message that is none",
    open: withOneBad({ attempts: -1 }),
    atOnce: AT_ONCE,
    rowsPerSecond: Infinity,
  },
  {
    name: "the same, each with a row that is refused",
    open: withOneBad({ model: REFUSED }),
    atOnce: AT_ONCE,
    rowsPerSecond: Infinity,
  },
  { name: "insert and commit, at the goal's pace", open: inserts, atOnce: AT_ONCE, rowsPerSecond: GOAL.rowsPerSecond },
  { name: "insert and commit, one after the other", open: inserts, atOnce: 1, rowsPerSecond: Infinity },
  { name: "insert and commit, all at once", open: inserts, atOnce: AT_ONCE, rowsPerSecond: Infinity },
];

const { url, end } = await startTemporaryPostgres();
try {
  await migrate(url);
  await inSession(url, (session) =>
    session.query(`ALTER TABLE inference_logs ADD CONSTRAINT refuses CHECK (model <> '${REFUSED}')`),
  );
  console.log(`${BATCHES.measured} batches of ${BATCH}, ${AT_ONCE} at once`);
  console.log(`goals: ${GOAL.rowsPerSecond} rows/s, and an insert's p99 < ${GOAL.insertP99Ms} ms\n`);
  print("", ["rows/s", "p50 ms", "p99 ms"]);
  for (const run of RUNS) {
    await measure(run, BATCHES.warmUp);
    const { tookMs, seconds } = await measure(run, BATCHES.measured);
    const at = (share: number): number => tookMs[Math.floor(share * (tookMs.length - 1))] ?? 0;
    print(run.name, [((tookMs.length * BATCH) / seconds).toFixed(0), at(0.5).toFixed(1), at(0.99).toFixed(1)]);
  }
} finally {
  await end();
}

/** How long each batch took, in order, and all of them together. */
async function measure(
  { open, atOnce, rowsPerSecond }: Run,
  count: number,
): Promise<{ readonly tookMs: readonly number[]; readonly seconds: number }> {
  const batches = Array.from({ length: count }, () => Array.from({ length: BATCH }, event));
  const tookMs: number[] = [];
  const startMs = performance.now();
  const dueMs = (nth: number): number => startMs + (nth * BATCH * 1_000) / rowsPerSecond;
  const worker = (): Promise<void> =>
    open(async (write) => {
      for (;;) {
        const waitMs = dueMs(count - batches.length) - performance.now();
        const events = batches.pop();
        if (events === undefined) break;
        if (waitMs > 0) await sleep(waitMs);
        const beforeMs = performance.now();
        await write(events);
        tookMs.push(performance.now() - beforeMs);
      }
    });
  await Promise.all(Array.from({ length: atOnce }, worker));
  const seconds = (performance.now() - startMs) / 1_000;
  return { tookMs: tookMs.sort((a, b) => a - b), seconds };
}

/** What the platform does: a batch is an invocation, with a connection of its own. */
async function wholeBatches(work: Parameters<Open>[0]): Promise<void> {
  await work(async (events) => {
    let acked = 0;
    const messages = events.map((event) => ({
      ...{ id: event.id, body: { event, outbox: null }, attempts: 1 },
      ack: () => {
        acked += 1;
      },
      retry: () => {},
    }));
    await consume(
      { queue: "usage", messages },
      { connectionString: url, acknowledge: async () => {}, now: Date.now, random: Math.random },
    );
    if (acked !== BATCH) throw new Error(`${BATCH - acked} messages of a batch were not written`);
  });
}

/** One of each batch becomes a dead letter. */
function withOneBad(changed: Partial<InferenceEvent>): Open {
  return (work) =>
    wholeBatches((write) => work(([first, ...others]) => write([{ ...(first ?? event()), ...changed }, ...others])));
}

/** The transaction alone, on a connection that stays. */
function inserts(work: Parameters<Open>[0]): Promise<void> {
  const onSession = (session: Session) =>
    work(async (events) => {
      await transact(session, "causeway_writer", [inferenceLogsInsert(events, Date.now())]);
    });
  return inSession(url, onSession, { withinMs: WHOLE_BENCH_MS });
}

function event(): InferenceEvent {
  const atMs = Date.now();
  const user = `user-${randomInt(ACCOUNTS)}`;
  return {
    v: 1,
    kind: "inference",
    id: uuidv7({ msecs: atMs }),
    atMs,
    route: "chat",
    model: `a-model-of-some-name-${randomInt(MODELS)}`,
    account: `https://issuer.example.com/application/o/causeway/|${user}`,
    userId: user,
    tenant: null,
    keyId: null,
    tier: "default",
    ip: "203.0.113.7",
    workflowId: null,
    traceId: "0af7651916cd43dd8448eb211c80319c",
    host: `host-${randomInt(HOSTS)}`,
    hosts: ["gpu"],
    servedAs: "meta-llama/Llama-3.1-8B-Instruct",
    promptTokens: randomInt(4_000),
    completionTokens: randomInt(900),
    cachedTokens: randomInt(100),
    estimated: false,
    wastedTokens: 0,
    savedTokens: 0,
    ttftMs: 80,
    latencyMs: 1_900,
    queueWaitMs: 0,
    hostMs: 1_850,
    finishReason: "stop",
    outcome: "complete",
    attempts: 1,
    cache: "miss",
    admittedBy: "account",
    placedBy: "fleet",
    costMicros: randomInt(500),
    priceVersion: "1",
    content: null,
  };
}

function print(name: string, cells: readonly string[]): void {
  console.log(`${name.padEnd(44)} ${cells.map((cell) => cell.padStart(8)).join(" ")}`);
}
