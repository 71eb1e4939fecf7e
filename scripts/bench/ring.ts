/**
 * Everything that a comparison needs: the engine and the load on one core, the contestants on another, and each asked one
 * after the other, so that none pays for another's work.
 */
import { fork } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { inRepository } from "#scripts/stack/repository.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { type PartSpec, Supervisor } from "#scripts/stack/supervisor.ts";
import type { Absent, Contestant, Ring, Running } from "./contestants/contestant.ts";
import { onPath } from "./contestants/on-path.ts";
import type { Job, Seen } from "./load/job.ts";

const READY_LIMIT_MS = 20_000;

export type Entrant = { readonly name: string } & (Running | Absent);

export type OpenRing = {
  readonly entrants: readonly Entrant[];
  /** Puts load on one of them. @throws Error when the load itself fails */
  readonly load: (job: Job) => Promise<Seen>;
  /** Whether engine and load have a core of their own. */
  readonly isPinned: boolean;
  readonly stop: () => Promise<void>;
};

/** @param folder of this run; `kept` outlives it */
export async function openRing(
  contestants: readonly Contestant[],
  { folder, kept, print, signal }: Pick<Ring, "folder" | "kept" | "print" | "signal">,
): Promise<OpenRing> {
  mkdirSync(kept, { recursive: true });
  const state = openStateDir(folder);
  const supervisor = new Supervisor(state);
  const isPinned = canPin();
  const on = (core: number) => (spec: PartSpec) => (isPinned ? pinnedTo(core, spec) : spec);
  const endings: (() => Promise<void>)[] = [async () => void (await supervisor.stopAll())];
  const stop = async (): Promise<void> => {
    const failures: unknown[] = [];
    // One that cannot be ended leaves the others no less to end.
    for (const end of endings.splice(0).reverse()) await end().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  };
  try {
    const engine = await startEngine(supervisor, on(LOAD_CORE), state.root);
    const entrants: Entrant[] = [];
    for (const { name, start } of contestants) {
      const own = join(state.root, name.toLowerCase().replaceAll(/\W+/g, "-"));
      mkdirSync(own, { recursive: true });
      const ring = { supervisor, engine, kept, folder: own, pinned: on(CONTESTANT_CORE), print, signal };
      const started = await start(ring);
      if ("absent" in started) print(`  ${name}: not in the ring: ${started.absent}`);
      else if (started.stop !== undefined) endings.push(started.stop);
      entrants.push({ name, ...started });
    }
    const { load, end } = startLoad(isPinned);
    endings.push(end);
    return { entrants, load, isPinned, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const LOAD_CORE = 0;
const CONTESTANT_CORE = 1;

function canPin(): boolean {
  return availableParallelism() > 1 && onPath("taskset", process.env) !== null;
}

function pinnedTo(core: number, spec: PartSpec): PartSpec {
  return { ...spec, command: "taskset", args: ["-c", String(core), spec.command, ...spec.args] };
}

async function startEngine(
  supervisor: Supervisor,
  pinned: (spec: PartSpec) => PartSpec,
  folder: string,
): Promise<string> {
  const main = inRepository("scripts", "bench", "engine", "main.ts");
  const spec = { name: "engine", command: process.execPath, args: ["--no-warnings", main], cwd: folder, ipc: true };
  const part = supervisor.launch(pinned(spec));
  const port = await supervisor.ready(part, READY_LIMIT_MS, async () => {
    const ready = /\{"ready":(\d+)\}/.exec(readFileSync(part.logFile, "utf8"));
    return ready === null ? null : Number(ready[1]);
  });
  return `http://127.0.0.1:${port}`;
}

/** One process for all windows. It ends with its channel. */
function startLoad(isPinned: boolean): { load: OpenRing["load"]; end: () => Promise<void> } {
  const main = inRepository("scripts", "bench", "load", "main.ts");
  const own = { execPath: process.execPath, execArgv: ["--no-warnings"] };
  const pinned = { execPath: "taskset", execArgv: ["-c", String(LOAD_CORE), process.execPath, "--no-warnings"] };
  const child = fork(main, isPinned ? pinned : own);
  const gone = new Promise<string>((resolve) => {
    child
      .once("exit", () => resolve("has ended"))
      .on("error", (error) => resolve(`cannot be reached: ${error.message}`));
  });
  const asked = (job: Job): Promise<Seen> =>
    new Promise((resolve, reject) => {
      child.once("message", (told: { seen: Seen } | { error: string }) => {
        if ("seen" in told) resolve(told.seen);
        else reject(new Error(`the load: ${told.error}`));
      });
      child.send(job);
    });
  const load = (job: Job): Promise<Seen> =>
    Promise.race([asked(job), gone.then((how) => Promise.reject(new Error(`the load ${how}`)))]);
  const end = async (): Promise<void> => {
    if (child.connected) child.disconnect();
    await gone;
  };
  return { load, end };
}
