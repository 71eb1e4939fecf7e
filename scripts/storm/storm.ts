/**
 * The storm: a stack of its own under load while everything fails that may, and then the question whether the ledger is
 * right to the token. It decides the order; each thing it does has a file of its own here.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type RunningStack, startStack } from "#scripts/stack/stack.ts";
import { ask, type Sent } from "./caller.ts";
import { stormCatalog } from "./catalog.ts";
import { seeded } from "./chance.ts";
import { writeStormConfig } from "./config.ts";
import { credentialsOf } from "./credentials.ts";
import { crowd } from "./crowd.ts";
import { type Facts, type Finding, judge } from "./judge.ts";
import { type Poison, pour, tell } from "./poison.ts";
import { progressLine } from "./progress-line.ts";
import { question } from "./question.ts";
import { type Ledger, readAccounts, readLedger, readTruth } from "./records.ts";
import { POISON, type Scale } from "./scale.ts";
import { type Sky, type Target, weather } from "./weather.ts";
import { type Mischief, WorkerLog } from "./worker-log.ts";

export type Options = {
  readonly scale: Scale;
  /** The same storm again, as far as a machine does the same twice. */
  readonly seed: number;
  /** For everything that the stack keeps; there already, and ours alone. */
  readonly stateDir: string;
  readonly print: (line: string) => void;
  /** Aborted when the storm shall be given up. */
  readonly signal: AbortSignal;
};

export type Outcome = {
  readonly findings: readonly Finding[];
  /** Requests whose callers saw a status of 200. */
  readonly answered: number;
  readonly sky: Sky;
  readonly mischief: Mischief;
};

const LOOK_EVERY_MS = 1_000;
/** What is on record must have stood still for so long. */
const STILL_MS = 5_000;
/** What the queue lost with a killed Worker is told again, as any producer would that hears of no success. */
const TELL_AGAIN_MS = 10_000;

/**
 * Runs a storm to its end.
 *
 * @throws PartFailure when a part of the stack fails that nobody took down; Error when the storm is given up
 */
export async function storm(options: Options): Promise<Outcome> {
  const { scale, stateDir, print, signal } = options;
  const variables = {
    OUTBOX_RESEND_MS: String(scale.outboxResendMs),
    STORM_DUPLICATES: String(scale.mischief.duplicates),
    STORM_CRASHES: String(scale.mischief.crashes),
  };
  const running = await startStack(
    { port: 0, stateDir },
    { print, signal, labCatalog: stormCatalog(), wranglerConfig: writeStormConfig(stateDir), variables },
  );
  try {
    return await Promise.race([rage(running, options), failure(running), abandonment(signal)]);
  } finally {
    await running.stop();
  }
}

async function rage({ stack, parts }: RunningStack, { scale, seed, stateDir, print }: Options): Promise<Outcome> {
  const { worker, postgres } = parts;
  if (postgres === null) throw new Error("the storm needs a Postgres of its own");
  const { gateway, database, hosts } = stack;
  const chance = seeded(seed);
  const questions = Array.from({ length: scale.requests }, (_, number) => question(number, chance));
  const credentialOf = credentialsOf(stateDir);
  const sky: Sky = { worker: "up", postgres: "up", kills: 0, hostFaults: 0 };
  const log = new WorkerLog(join(stateDir, "logs", "worker.log"));
  const sent: Sent[] = [];
  const poison: Poison[] = [];
  const look = async (): Promise<Omit<Facts, "truth">> => ({
    sent,
    poison: poison.map(({ id }) => id),
    ledger: await readLedger(database),
    accounts: readAccounts(join(stateDir, "wrangler")),
  });
  const startedAtMs = Date.now();
  const showing = setInterval(() => {
    look()
      .catch(() => null)
      .then((seen) => print(progressLine(Date.now() - startedAtMs, scale.requests, sent.length, seen, sky)))
      .catch(() => undefined);
  }, scale.progressEveryMs);
  try {
    await Promise.all([
      crowd(
        questions,
        scale.sendOverMs,
        (question) => ask(gateway, credentialOf(question.caller), question),
        (one) => sent.push(one),
      ),
      pour(gateway, Math.round(scale.requests * POISON), scale.sendOverMs, (one) => poison.push(one)),
      weather(scale, { worker, postgres }, targetsOf(hosts), chance, sky, () => log.read()),
    ]);
    const seen = await quiet(look, scale.quietWithinMs, (missing) =>
      Promise.all(poison.filter(({ id }) => missing.has(id)).map((one) => tell(gateway, one))),
    );
    log.read();
    const findings = judge({ ...seen, truth: await readTruth(hosts) });
    return { findings, answered: sent.filter(({ status }) => status === 200).length, sky, mischief: log.mischief };
  } finally {
    clearInterval(showing);
  }
}

/**
 * Waits until everything is where it belongs and stands still, or the time is over.
 *
 * @param tellAgain gets the ids of messages that are no dead letters yet
 */
async function quiet(
  look: () => Promise<Omit<Facts, "truth">>,
  withinMs: number,
  tellAgain: (missing: ReadonlySet<string>) => Promise<unknown>,
): Promise<Omit<Facts, "truth">> {
  const endMs = Date.now() + withinMs;
  let told = Date.now();
  let still = { rows: -1, sinceMs: 0 };
  for (;;) {
    const isTime = Date.now() > endMs;
    // Postgres may still be at its recovery.
    const seen = await look().catch((failure: unknown) => {
      if (isTime) throw failure;
      return null;
    });
    await sleep(LOOK_EVERY_MS);
    if (seen === null) continue;
    const rows = seen.ledger.rows.length;
    if (rows !== still.rows) still = { rows, sinceMs: Date.now() };
    const missing = missingPoison(seen.poison, seen.ledger);
    const isQuiet = isComplete(seen) && missing.size === 0 && Date.now() - still.sinceMs >= STILL_MS;
    if (isQuiet || isTime) return seen;
    if (missing.size > 0 && Date.now() - told >= TELL_AGAIN_MS) {
      told = Date.now();
      await tellAgain(missing);
    }
  }
}

function isComplete({ sent, ledger, accounts }: Omit<Facts, "truth">): boolean {
  const entered = new Set(ledger.rows.map((row) => row.question));
  return (
    accounts.openLeases === 0 &&
    accounts.unacknowledged === 0 &&
    sent.every(({ status, question }) => status !== 200 || entered.has(question.number))
  );
}

function missingPoison(poison: readonly string[], { deadLetters }: Ledger): Set<string> {
  const letters = new Set(deadLetters);
  return new Set(poison.filter((id) => !letters.has(id)));
}

/** The lab's hosts, and what is asked of them as streams. */
function targetsOf(hosts: Readonly<Record<string, string>>): [Target, ...Target[]] {
  const target = (host: string, streamed: string | null): Target => ({ url: hosts[host] ?? "", streamed });
  return [
    target("gpu", "meta-llama/Llama-3.1-70B-Instruct"),
    target("gpu", "meta-llama/Llama-3.1-8B-Instruct"),
    target("cpu-mixtral", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
    target("cpu-openchat", "openchat/openchat-3.5-0106"),
    target("cpu-hermes", null),
    target("cpu-phi3", null),
  ];
}

async function failure({ crashed }: RunningStack): Promise<never> {
  throw await crashed;
}

function abandonment(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("the storm was given up")), { once: true });
  });
}
