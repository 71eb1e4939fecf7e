/**
 * The conductor of `npm start`: brings the parts up in order, watches over them, and takes them down. Each part's
 * own file knows how the part works; this one knows which needs which.
 */
import type { Catalog, Model } from "#src/catalog/schema.ts";
import { exampleModel, onLab, readCatalog } from "./catalog-file.ts";
import { type Handle, handle } from "./handle.ts";
import { AUDIENCE, fetchTokens, ISSUER_PORT, issuerTrouble, startIssuer } from "./issuer.ts";
import { type IssuerKeys, keptIssuerKeys } from "./issuer-keys.ts";
import { MACHINES, startMachine } from "./lab.ts";
import { localApiKey } from "./local-api-key.ts";
import { takeLock } from "./lock.ts";
import { migrate } from "./migrate.ts";
import { DEFAULT_OPTIONS, type StackOptions } from "./options.ts";
import type { PartFailure } from "./part-failure.ts";
import { endOrphans } from "./pid-book.ts";
import { gatewayPort, portNear, whereText } from "./ports.ts";
import { POSTGRES_PORT, startPostgres } from "./postgres.ts";
import { type Print, step } from "./progress.ts";
import { Refusal } from "./refusal.ts";
import { engineKeys, gatewaySecret } from "./secrets.ts";
import { removeStackFile, type StackFile, writeStackFile } from "./stack-file.ts";
import { openStateDir, type StateDir } from "./state-dir.ts";
import { Supervisor } from "./supervisor.ts";
import { fillKv, playCron, startWorker } from "./worker.ts";

/** Tokens live ten minutes; a reader of `stack.json` always finds at least five of them left. */
const TOKEN_RENEWAL_MS = 300_000;

export type Surroundings = {
  /** Gets the progress lines. */
  readonly print: Print;
  /** Read for CAUSEWAY_SECRET and for the engines' keys. */
  readonly env: NodeJS.ProcessEnv;
  /** Aborted when the start shall be given up. */
  readonly signal: AbortSignal;
  /** Another catalog than the bundled one, still on the lab; null for that one, or for the operator's file. */
  readonly labCatalog: Catalog | null;
  /** Another wrangler configuration than the repository's; null for that one. */
  readonly wranglerConfig: string | null;
  /** Further variables for the Worker. */
  readonly variables: Readonly<Record<string, string>>;
  /** Runs the Worker in another way than `wrangler dev`. */
  readonly startWorker: typeof startWorker;
  /**
   * False where stacks may start at the same time: each would find a usual port free, and all but one would lose it.
   * Then every part has any free one.
   */
  readonly usualPorts: boolean;
};

export type RunningStack = {
  readonly stack: StackFile;
  /** A model of the catalog that chats, for the curl line. */
  readonly exampleModel: string | null;
  /** The catalog's models, by the names that callers use. */
  readonly models: readonly { readonly id: string; readonly kind: Model["kind"] }[];
  /** Without Postgres when the stack runs on one that was there before. */
  readonly parts: { readonly worker: Handle; readonly postgres: Handle | null };
  /** Resolves when a part ends by itself or the gateway falls silent. The others still run then: call `stop`. */
  readonly crashed: Promise<PartFailure>;
  /** Ends every process and gives the state folder back. Calling it again waits for the same end. */
  stop(): Promise<void>;
};

/**
 * Brings the whole system up and returns when the gateway answers.
 *
 * @throws Refusal when it cannot be started as asked; PartFailure when a part does not start. Nothing runs then.
 */
export async function startStack(
  options: Partial<StackOptions> = {},
  surroundings: Partial<Surroundings> = {},
): Promise<RunningStack> {
  const wanted = { ...DEFAULT_OPTIONS, ...options };
  const { print = () => {}, env = process.env, signal = new AbortController().signal } = surroundings;
  const { labCatalog = null, wranglerConfig = null, variables = {}, usualPorts = true } = surroundings;
  const start = surroundings.startWorker ?? startWorker;
  const catalog = labCatalog ?? readCatalog(wanted.catalogFile);
  const state = openStateDir(wanted.stateDir);
  const release = takeLock(state);
  const supervisor = new Supervisor(state);
  const endings: (() => void)[] = [];
  const stop = once(async () => {
    for (const end of endings) end();
    removeStackFile(state);
    const stuck = await supervisor.stopAll();
    release();
    if (stuck.length > 0) throw new Error(`could not be ended: ${stuck.join(", ")}`);
  });
  try {
    const plan = { wanted, catalog, state, supervisor, print, env, wranglerConfig, variables, start, usualPorts };
    const { stack, keys, parts } = await Promise.race([bringUp(plan), failure(supervisor), abandonment(signal)]);
    writeStackFile(state, stack);
    endings.push(playCron(stack.gateway));
    if (keys !== null) endings.push(renewTokens(state, stack, keys));
    const { models } = catalog;
    return { stack, exampleModel: exampleModel(catalog), models, parts, crashed: supervisor.crashed, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Plan = {
  readonly wanted: StackOptions;
  readonly catalog: Catalog;
  readonly state: StateDir;
  readonly supervisor: Supervisor;
  readonly print: Print;
  readonly env: NodeJS.ProcessEnv;
  readonly wranglerConfig: string | null;
  readonly variables: Readonly<Record<string, string>>;
  readonly start: typeof startWorker;
  readonly usualPorts: boolean;
};

type BroughtUp = { readonly stack: StackFile; readonly keys: IssuerKeys | null; readonly parts: RunningStack["parts"] };

async function bringUp(plan: Plan): Promise<BroughtUp> {
  const { wanted, catalog, state, supervisor, print, env } = plan;
  const orphans = await endOrphans(state);
  if (orphans.length > 0) print(`  ended what an earlier start left behind: ${orphans.join(", ")}`);
  // All that can be refused is refused before anything is started.
  const port = await gatewayPort(wanted.port);
  const secret = gatewaySecret(state, env);
  const engines = engineKeys(catalog, wanted.catalogFile, wanted.lab && wanted.catalogFile === null, env);
  removeStackFile(state);

  const database = step(print, "postgres", openDatabase(plan));
  const identity = step(print, "issuer", openIdentity(plan));
  const lab = step(print, "lab", openLab(plan));
  const { databaseUrl, postgres } = await database();
  await step(print, "migrations", migrated(databaseUrl))();
  const { issuer, audience, keys } = await identity();
  const hosts = await lab();

  const served = wanted.catalogFile === null ? onLab(catalog, hosts) : catalog;
  const apiKey = await localApiKey(state, secret, databaseUrl, Date.now());
  const variables = { OIDC_ISSUER: issuer, OIDC_AUDIENCE: audience, CAUSEWAY_SECRET: secret, ...engines };
  const spec = { port, variables: { ...variables, ...plan.variables }, databaseUrl, configFile: plan.wranglerConfig };
  const runWorker = () => plan.start(supervisor, state, spec, print);
  const worker = async () => {
    await fillKv(supervisor, state, {
      catalog: JSON.stringify(served),
      [apiKey.kvKey]: JSON.stringify(apiKey.record),
    });
    const { url, trouble } = await runWorker();
    return { value: url, text: trouble === null ? url : `${url} (${trouble})` };
  };
  const gateway = await step(print, "worker", worker())();
  const tokens = keys === null ? {} : await fetchTokens(issuer, keys);
  const stack = {
    gateway,
    issuer,
    audience,
    database: databaseUrl,
    tokens,
    apiKey: apiKey.key,
    hosts,
    pid: process.pid,
  };
  return { stack, keys, parts: { worker: handle(supervisor, "worker", runWorker), postgres } };
}

type Database = { readonly databaseUrl: string; readonly postgres: Handle | null };

async function openDatabase({
  wanted,
  supervisor,
  state,
  usualPorts,
}: Plan): Promise<{ value: Database; text: string }> {
  const { databaseUrl } = wanted;
  if (databaseUrl !== null) return { value: { databaseUrl, postgres: null }, text: "yours, by --database-url" };
  const usual = usualPorts ? POSTGRES_PORT : 0;
  const port = await portNear(usual);
  const run = () => startPostgres(supervisor, state, port);
  const value = { databaseUrl: await run(), postgres: handle(supervisor, "postgres", run) };
  return { value, text: whereText(usual, port) };
}

async function migrated(databaseUrl: string): Promise<{ value: undefined; text: string }> {
  try {
    const { ran, lacks } = await migrate(databaseUrl);
    const text = ran.length === 0 ? "nothing to do" : ran.join(", ");
    return { value: undefined, text: lacks === null ? text : `${text}; ${lacks}` };
  } catch (error) {
    const { host, pathname } = new URL(databaseUrl);
    const reason = error instanceof AggregateError ? String(error.errors[0]) : String(error);
    throw new Refusal(1, `The database ${host}${pathname} cannot be brought to the newest schema: ${reason}`);
  }
}

type Identity = { readonly issuer: string; readonly audience: string; readonly keys: IssuerKeys | null };

async function openIdentity({
  wanted,
  supervisor,
  state,
  usualPorts,
}: Plan): Promise<{ value: Identity; text: string }> {
  if (wanted.identity !== null) {
    const trouble = await issuerTrouble(wanted.identity.issuer);
    const text = `${wanted.identity.issuer}${trouble === null ? "" : `, but ${trouble}`}; stack.json holds no tokens`;
    return { value: { ...wanted.identity, keys: null }, text };
  }
  const usual = usualPorts ? ISSUER_PORT : 0;
  const port = await portNear(usual);
  const keys = await keptIssuerKeys(state);
  const issuer = await startIssuer(supervisor, state, port);
  return { value: { issuer, audience: AUDIENCE, keys }, text: whereText(usual, port) };
}

async function openLab({
  wanted,
  supervisor,
  state,
  usualPorts,
}: Plan): Promise<{ value: Record<string, string>; text: string }> {
  if (!wanted.lab) return { value: {}, text: "none, by --no-lab" };
  const machines = await Promise.all(
    Object.keys(MACHINES).map((name) => startMachine(supervisor, state, name, usualPorts)),
  );
  const urls = Object.fromEntries(machines.flatMap((machine) => Object.entries(machine.urls)));
  const moved = machines.flatMap((machine) => machine.moved);
  const text = `${Object.keys(urls).length} hosts${moved.length === 0 ? "" : `; usual port taken: ${moved.join(", ")}`}`;
  return { value: urls, text };
}

function renewTokens(state: StateDir, stack: StackFile, keys: IssuerKeys): () => void {
  const timer = setInterval(() => {
    // If the issuer does not answer, the tokens in the file are good for five minutes more, and it is asked again.
    fetchTokens(stack.issuer, keys).then(
      (tokens) => writeStackFile(state, { ...stack, tokens }),
      () => {},
    );
  }, TOKEN_RENEWAL_MS);
  return () => clearInterval(timer);
}

async function failure(supervisor: Supervisor): Promise<never> {
  throw await supervisor.crashed;
}

function abandonment(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const give = () => reject(new Refusal(1, "The start was given up."));
    if (signal.aborted) give();
    else signal.addEventListener("abort", give, { once: true });
  });
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let done: Promise<T> | null = null;
  return () => {
    done ??= work();
    return done;
  };
}
