/** The lab side of a stack: which hosts there are, in which processes, and where they really listen. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { portNear } from "./ports.ts";
import { inRepository } from "./repository.ts";
import type { StateDir } from "./state-dir.ts";
import type { Supervisor } from "./supervisor.ts";

export type LabHost = {
  readonly id: string;
  readonly engine: "vllm" | "llamacpp";
  readonly port: number;
  readonly models: readonly string[];
  readonly slots: number;
  readonly ttftMs: number;
  readonly tokensPerSecond: number;
};

/** Slots and ports as on the premises: 20 threads per model on the CPU server, two slots on the Jetson. */
const cpuHost = (id: string, port: number, model: string): LabHost => ({
  id,
  engine: "vllm",
  port,
  models: [model],
  slots: 20,
  ttftMs: 120,
  tokensPerSecond: 40,
});

/** One process per machine. The pace is lively enough to see tokens stream and quick enough for tests. */
export const MACHINES: Readonly<Record<string, readonly LabHost[]>> = {
  gpu: [
    {
      id: "gpu",
      engine: "vllm",
      port: 9101,
      models: [
        "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/Llama-3.1-70B-Instruct",
        "BAAI/bge-small-en-v1.5",
        "BAAI/bge-reranker-v2-m3",
        "openai/whisper-large-v3",
      ],
      slots: 64,
      ttftMs: 60,
      tokensPerSecond: 80,
    },
  ],
  jetson: [
    {
      id: "jetson",
      engine: "llamacpp",
      port: 9102,
      models: ["llama-3.1-8b-q4"],
      slots: 2,
      ttftMs: 150,
      tokensPerSecond: 25,
    },
  ],
  cpu: [
    cpuHost("cpu-mixtral", 11400, "mistralai/Mixtral-8x7B-Instruct-v0.1"),
    cpuHost("cpu-hermes", 11401, "NousResearch/Hermes-2-Pro-Mistral-7B"),
    cpuHost("cpu-openchat", 11402, "openchat/openchat-3.5-0106"),
    cpuHost("cpu-phi3", 11403, "microsoft/Phi-3-mini-4k-instruct"),
  ],
};

const READY_LIMIT_MS = 20_000;
const readyLine = z.object({ ready: z.array(z.object({ id: z.string(), url: z.string() })) });

export type LabStarted = {
  /** Base URL by host id. */
  readonly urls: Readonly<Record<string, string>>;
  /** Hosts that do not listen on their usual port. */
  readonly moved: readonly string[];
};

/** Starts the hosts of one machine, near their usual ports or on any free ones, and waits until all of them listen. */
export async function startMachine(
  supervisor: Supervisor,
  state: StateDir,
  machine: string,
  usualPorts: boolean,
): Promise<LabStarted> {
  const preferred = (MACHINES[machine] ?? []).map((host) => (usualPorts ? host : { ...host, port: 0 }));
  const hosts = await Promise.all(preferred.map(async (host) => ({ ...host, port: await portNear(host.port) })));
  return {
    urls: await startHosts(supervisor, state, `lab-${machine}`, hosts),
    moved: hosts.flatMap(({ id, port }, at) => (!usualPorts || port === preferred[at]?.port ? [] : [`${id} :${port}`])),
  };
}

/** Starts hosts in one process of this name, on their very ports. @returns base URL by host id, when all listen */
export async function startHosts(
  supervisor: Supervisor,
  state: StateDir,
  name: string,
  hosts: readonly LabHost[],
): Promise<Readonly<Record<string, string>>> {
  const part = supervisor.launch({
    name,
    command: process.execPath,
    args: [inRepository("scripts", "lab", "main.ts"), JSON.stringify(hosts)],
    cwd: state.root,
    ipc: true,
  });
  const ready = await supervisor.ready(part, READY_LIMIT_MS, async () => readyIn(part.logFile));
  return Object.fromEntries(ready.map(({ id, url }) => [id, url]));
}

function readyIn(logFile: string): { id: string; url: string }[] | null {
  for (const line of readFileSync(logFile, "utf8").split("\n")) {
    if (!line.startsWith('{"ready"')) continue;
    const parsed = readyLine.safeParse(JSON.parse(line));
    if (parsed.success) return parsed.data.ready;
  }
  return null;
}
