/**
 * Starts the parts of a stack as processes of their own, notices when one ends or falls silent that should not, and
 * ends them all.
 * It knows processes, logs and signals, and nothing of what the parts do.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endGroup } from "./end-group.ts";
import { fallsSilent, type Rhythm } from "./liveness.ts";
import { type Logged, PartEnded, type PartFailure, PartSilent } from "./part-failure.ts";
import { PidBook, STATE_MARK } from "./pid-book.ts";
import type { StateDir } from "./state-dir.ts";

/** SIGTERM, then this long, then SIGKILL. Postgres writes a checkpoint in this time. */
const STOP_GRACE_MS = 5_000;
const READY_POLL_MS = 50;

export type PartSpec = {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Added to our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Run as this user; only root can ask for it. */
  readonly account?: { readonly uid: number; readonly gid: number } | null;
  readonly stopSignal?: "SIGTERM" | "SIGINT";
  /** Gives the part an IPC channel, by which it notices that we are gone. */
  readonly ipc?: boolean;
  /** Its ending is no crash of the stack: whoever started it sees to it. */
  readonly expendable?: boolean;
  /** Lines of its log that say nothing about a crash. */
  readonly noise?: RegExp;
};

export type Part = Logged & {
  readonly pid: number;
  readonly ended: Promise<PartEnded>;
};

export class Supervisor {
  readonly #state: StateDir;
  readonly #book: PidBook;
  readonly #running = new Map<number, { part: Part; stopSignal: "SIGTERM" | "SIGINT" }>();
  /** Parts that are being ended on purpose, by pid. */
  readonly #unwanted = new Set<number>();
  readonly #crash = Promise.withResolvers<PartFailure>();
  readonly #stopping = new AbortController();

  constructor(state: StateDir) {
    this.#state = state;
    this.#book = new PidBook(state);
  }

  /** Resolves when a part ends that nobody asked to end, or when one that is watched falls silent. */
  get crashed(): Promise<PartFailure> {
    return this.#crash.promise;
  }

  /** Starts a part that runs until the stack stops. Its ending before that is a crash of the stack, unless expendable. */
  launch(spec: PartSpec): Part {
    const part = this.#spawn(spec);
    if (spec.expendable === true) return part;
    void part.ended.then((ended) => {
      if (!this.#stopping.signal.aborted && !this.#unwanted.has(part.pid)) this.#crash.resolve(ended);
    });
    return part;
  }

  /**
   * Watches a part that answers, until it ends. Its silence is a crash of the stack.
   *
   * @param probe asks the part something, within the signal's time; what it throws counts as no answer
   * @param question what is asked, for the message
   */
  watch(part: Part, rhythm: Rhythm, question: string, probe: (signal: AbortSignal) => Promise<unknown>): void {
    const over = new AbortController();
    void part.ended.then(() => over.abort());
    void fallsSilent(probe, rhythm, AbortSignal.any([this.#stopping.signal, over.signal])).then((silent) => {
      if (!silent) return;
      const times = `${question} failed ${rhythm.failures} times in a row, with ${rhythm.limitMs / 1_000} s each`;
      this.#crash.resolve(new PartSilent(part, `does not answer any more: ${times}`));
    });
  }

  /** Runs a command to its end. Throws PartEnded when it fails. */
  async run(spec: PartSpec): Promise<void> {
    const part = this.#spawn(spec);
    const ended = await part.ended;
    await this.#end(part);
    if (ended.exitCode !== 0) throw ended;
  }

  /**
   * Waits until a part answers.
   *
   * @param probe yields the answer, or null while there is none; what it throws counts as none
   * @throws PartEnded when the part ends first; PartSilent after `limitMs`
   */
  async ready<T>(part: Part, limitMs: number, probe: () => Promise<T | null>): Promise<T> {
    let ended: PartEnded | null = null;
    void part.ended.then((report) => {
      ended = report;
    });
    for (const end = Date.now() + limitMs; Date.now() < end; await sleep(READY_POLL_MS)) {
      if (ended !== null) throw ended;
      const answer = await probe().catch(() => null);
      if (answer !== null) return answer;
    }
    throw new PartSilent(part, `is not ready after ${limitMs / 1_000} s`);
  }

  /**
   * Ends every part, the latest started first, and returns when none lives.
   *
   * @returns the names of parts that could not be ended
   */
  async stopAll(): Promise<string[]> {
    this.#stopping.abort();
    const stuck: string[] = [];
    // The Worker before the hosts, and the database last: a part outlives those that use it.
    for (const { part } of [...this.#running.values()].reverse()) {
      if (!(await this.#end(part))) stuck.push(part.name);
    }
    return stuck;
  }

  /** The part of this name that runs. @throws Error when there is none */
  part(name: string): Part {
    for (const { part } of this.#running.values()) if (part.name === name) return part;
    throw new Error(`no part named ${name} runs`);
  }

  /**
   * Ends one part on purpose, with its whole group, and returns when nothing of it lives: no crash of the stack.
   *
   * @param how "kill" is SIGKILL at once, as a machine that fails would have it
   */
  async end(name: string, how: "ask" | "kill"): Promise<void> {
    const part = this.part(name);
    this.#unwanted.add(part.pid);
    if (how === "kill") process.kill(-part.pid, "SIGKILL");
    if (!(await this.#end(part))) throw new Error(`${part.name} could not be ended`);
    await part.ended;
    this.#unwanted.delete(part.pid);
  }

  #spawn(spec: PartSpec): Part {
    if (this.#stopping.signal.aborted) throw new Error(`${spec.name} is not started, because the stack is stopping.`);
    const logFile = join(this.#state.logs, `${spec.name}.log`);
    const log = freshLog(logFile);
    const stopSignal = spec.stopSignal ?? "SIGTERM";
    try {
      const child = spawn(spec.command, [...spec.args], {
        cwd: spec.cwd,
        env: { ...process.env, ...spec.env, [STATE_MARK]: this.#state.root },
        stdio: spec.ipc === true ? ["ignore", log, log, "ipc"] : ["ignore", log, log],
        // Its own process group: Ctrl-C in the terminal reaches us alone, and the whole group can be ended at once.
        detached: true,
        ...(spec.account == null ? {} : { uid: spec.account.uid, gid: spec.account.gid }),
      });
      const logged = { name: spec.name, logFile, noise: spec.noise };
      const ended = endOf(child, logged);
      // Without a pid nothing was started: `ended` tells why.
      const pid = child.pid ?? -1;
      const part = { ...logged, pid, ended };
      if (pid > 0) {
        this.#running.set(pid, { part, stopSignal });
        this.#book.add(spec.name, pid, stopSignal);
      }
      return part;
    } finally {
      closeSync(log);
    }
  }

  async #end(part: Part): Promise<boolean> {
    const running = this.#running.get(part.pid);
    if (running === undefined) return true;
    const gone = await endGroup(part.pid, running.stopSignal, STOP_GRACE_MS);
    if (gone) {
      this.#running.delete(part.pid);
      this.#book.remove(part.pid);
    }
    return gone;
  }
}

function endOf(child: ChildProcess, part: Logged): Promise<PartEnded> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(new PartEnded(part, code, signal)));
    child.once("error", (error) => {
      const ended = new PartEnded(part, 127, null);
      ended.message = `${part.name} cannot be started: ${error.message}`;
      resolve(ended);
    });
  });
}

/** Opens an empty log; the one of the run before is kept beside it. */
function freshLog(logFile: string): number {
  try {
    renameSync(logFile, `${logFile}.1`);
  } catch {
    // The first run.
  }
  return openSync(logFile, "a", 0o600);
}
