/**
 * The storm: a stack of its own under load while everything fails that may, and then the question whether the ledger is
 * right to the token. It decides the order; each thing it does has a file of its own here.
 */
import { join } from "node:path";
import { type RunningStack, startStack } from "#scripts/stack/stack.ts";
import { ask, type Sent } from "./caller.ts";
import { stormCatalog } from "./catalog.ts";
import { seeded } from "./chance.ts";
import { writeStormConfig } from "./config.ts";
import { credentialsOf } from "./credentials.ts";
import { crowd } from "./crowd.ts";
import { type Finding, judge } from "./judge.ts";
import { type Poison, pour, tell } from "./poison.ts";
import { progressLine } from "./progress-line.ts";
import { question } from "./question.ts";
import { quiet, type Seen } from "./quiet.ts";
import { readAccounts, readLedger, readTruth } from "./records.ts";
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
    {
      ...{ print, signal, variables, usualPorts: false },
      ...{ labCatalog: stormCatalog(), wranglerConfig: writeStormConfig(stateDir) },
    },
  );
  const over = new AbortController();
  try {
    const raging = rage(running, options, over.signal);
    return await Promise.race([raging, failure(running), abandonment(signal)]);
  } finally {
    over.abort();
    await running.stop();
  }
}

async function rage(
  { stack, parts }: RunningStack,
  { scale, seed, stateDir, print }: Options,
  over: AbortSignal,
): Promise<Outcome> {
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
  const look = async (): Promise<Seen> => ({
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
        over,
      ),
      pour(gateway, Math.round(scale.requests * POISON), scale.sendOverMs, (one) => poison.push(one), over),
      weather(scale, { worker, postgres }, targetsOf(hosts), { chance, sky, killed: () => log.read(), over }),
    ]);
    const tellAgain = (missing: ReadonlySet<string>) =>
      Promise.all(poison.filter(({ id }) => missing.has(id)).map((one) => tell(gateway, one)));
    const seen = await quiet(look, scale.quietWithinMs, tellAgain, over);
    log.read();
    const findings = judge({ ...seen, truth: await readTruth(hosts) });
    return { findings, answered: sent.filter(({ status }) => status === 200).length, sky, mischief: log.mischief };
  } finally {
    clearInterval(showing);
  }
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
