/** The Worker side of a stack: fills its KV, runs it under `wrangler dev`, and plays the cron that dev does not fire. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Print } from "./progress.ts";
import { inRepository, REPOSITORY } from "./repository.ts";
import { type StateDir, writeAtomic } from "./state-dir.ts";
import type { Part, PartSpec, Supervisor } from "./supervisor.ts";
import { dotenv } from "./worker-env.ts";

const READY_LIMIT_MS = 60_000;
/** `/health` answers 503 until the first probes are back, a moment after the first request. */
const SERVING_LIMIT_MS = 5_000;
/** Measured on two busy cores: a reload answers after 0.5 s, 200 callers and four spinning processes after 0.9 s. */
const RHYTHM = { everyMs: 2_000, limitMs: 3_000, failures: 3 };
/** What our own probes leave in the log, by wrangler and by the Worker. */
const PROBE_LINES = /GET \/health 200|"route":"\/health","status":200/;
const CRON_EVERY_MS = 60_000;
const ANSWER_LIMIT_MS = 5_000;

/** Puts values into the KV store that `startWorker` will use. */
export async function fillKv(supervisor: Supervisor, state: StateDir, values: Record<string, string>): Promise<void> {
  const file = join(state.root, "kv.json");
  writeAtomic(file, JSON.stringify(Object.entries(values).map(([key, value]) => ({ key, value }))));
  const where = ["--binding", "KV", "--local", "--persist-to", state.wrangler];
  await supervisor.run(wrangler(state, "kv", ["kv", "bulk", "put", file, ...where], {}));
  rmSync(file, { force: true });
}

export type WorkerSpec = {
  readonly port: number;
  /** The Worker's variables and secrets; they go by file, so that no process listing shows them. */
  readonly variables: Readonly<Record<string, string>>;
  readonly databaseUrl: string;
  /** Another wrangler configuration than the repository's; null for that one. */
  readonly configFile: string | null;
};

/**
 * Starts the gateway, waits until it answers, and from then on watches that it goes on answering.
 *
 * @param print is told when edited sources do not build
 * @returns its base URL, and null or what `/health` says while nothing can be served
 */
export async function startWorker(
  supervisor: Supervisor,
  state: StateDir,
  { port, variables, databaseUrl, configFile }: WorkerSpec,
  print: Print,
): Promise<{ url: string; trouble: string | null }> {
  const envFile = join(state.root, "worker.env");
  writeAtomic(envFile, dotenv(variables));
  const args = ["dev", "--port", String(port), "--ip", "127.0.0.1", "--inspector-port", "0"];
  const where = ["--persist-to", state.wrangler, "--env-file", envFile, "--show-interactive-dev-session=false"];
  const database = { CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE: databaseUrl };
  const config = configFile === null ? [] : ["--config", configFile];
  const spec = wrangler(state, "worker", [...args, ...where, ...config], database);
  const part = supervisor.launch({ ...spec, noise: PROBE_LINES });
  const url = `http://127.0.0.1:${port}`;
  await supervisor.ready(part, READY_LIMIT_MS, () => healthStatus(url));
  const serving = supervisor.ready(part, SERVING_LIMIT_MS, async () =>
    (await healthStatus(url)) === 200 ? true : null,
  );
  const trouble = await serving.then(
    () => null,
    async () => `GET /health answers ${await healthStatus(url).catch(() => "nothing")}`,
  );
  // wrangler starts a runtime that crashed anew, but its front then holds every request for good.
  supervisor.watch(part, RHYTHM, "GET /health", probeOf(url, part, print));
  return { url, trouble };
}

/** Any answer is a sign of life. So is a broken build: wrangler holds all requests until the sources are mended. */
function probeOf(url: string, part: Part, print: Print): (signal: AbortSignal) => Promise<void> {
  let told = false;
  return async (signal) => {
    try {
      await healthStatus(url, signal);
      told = false;
    } catch (error) {
      if (!waitsForSources(readFileSync(part.logFile, "utf8"))) throw error;
      if (!told) print(`  worker      its sources do not build, so requests wait: ${part.logFile}`);
      told = true;
    }
  };
}

/** True when the last that wrangler says of the sources in its log is that they do not build. */
export function waitsForSources(log: string): boolean {
  return log.lastIndexOf("Build failed with") > log.lastIndexOf("Reloading local server");
}

/** Fires the Worker's cron once a minute, because `wrangler dev` never does. Returns what stops it. */
export function playCron(gateway: string): () => void {
  const timer = setInterval(() => {
    const fired = fetch(`${gateway}/cdn-cgi/local/scheduled?cron=*+*+*+*+*`, {
      method: "POST",
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    // A missed minute is what a cron must bear anyway.
    fired.then((response) => response.body?.cancel()).catch(() => {});
  }, CRON_EVERY_MS);
  return () => clearInterval(timer);
}

async function healthStatus(gateway: string, signal = AbortSignal.timeout(ANSWER_LIMIT_MS)): Promise<number> {
  const response = await fetch(`${gateway}/health`, { signal });
  await response.body?.cancel();
  return response.status;
}

/** wrangler's own program rather than its wrapper: one process fewer, and it gets our signals itself. */
function wrangler(state: StateDir, name: string, args: string[], env: Record<string, string>): PartSpec {
  return {
    name,
    command: process.execPath,
    args: ["--no-warnings", inRepository("node_modules", "wrangler", "wrangler-dist", "cli.js"), ...args],
    cwd: REPOSITORY,
    env: {
      ...QUIET,
      WRANGLER_LOG_PATH: join(state.logs, "wrangler"),
      WRANGLER_REGISTRY_PATH: join(state.wrangler, "registry"),
      ...env,
    },
  };
}

/** No telemetry, no look-ups on the internet, no questions, no trace capture. */
const QUIET = {
  CI: "1",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_NO_SKILLS_UPDATE_PROMPTS: "true",
  X_LOCAL_OBSERVABILITY: "false",
  X_LOCAL_EXPLORER: "false",
};
