/**
 * Where scenarios are played: a stack of its own before lab hosts of its own, whose machines can be killed and started
 * again, and ten callers who are equal.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ask, type Gateway } from "#scripts/gateway/ask.ts";
import { productionWorker } from "#scripts/production/worker.ts";
import { type Handle, handle } from "#scripts/stack/handle.ts";
import { type LabHost, startHosts } from "#scripts/stack/lab.ts";
import type { PartFailure } from "#scripts/stack/part-failure.ts";
import { freePort } from "#scripts/stack/ports.ts";
import { type RunningStack, startStack } from "#scripts/stack/stack.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { Supervisor } from "#scripts/stack/supervisor.ts";
import { credentialsOf } from "#scripts/storm/credentials.ts";
import { catalogOf } from "./catalog.ts";
import type { Runtime } from "./net-weight.ts";
import type { HostPlan, Plan } from "./plan.ts";

export const CALLERS = 10;

export type Stage = {
  readonly gateway: string;
  readonly database: string;
  /** Base URL by host id. */
  readonly hosts: Readonly<Record<string, string>>;
  /** A machine's process; it starts again on the same ports. */
  readonly machine: (name: string) => Handle;
  /** Of callers who are equal in everything. */
  readonly keys: readonly string[];
  /** The gateway with an administrator's token that is good now. */
  readonly admin: () => Gateway;
  /** The Worker's runtime, to be weighed. Its isolate can be asked where it runs as it is deployed. */
  readonly runtime: Runtime;
  readonly chance: () => number;
  /** Aborted when the run is given up. */
  readonly signal: AbortSignal;
};

export type OpenStage = { readonly stage: Stage; readonly crashed: Promise<PartFailure>; stop(): Promise<void> };

export type Surroundings = Pick<Stage, "chance" | "signal"> & {
  readonly stateDir: string;
  /** Under `wrangler dev`, or the production bundle in workerd alone, as it is deployed: only that can be weighed well. */
  readonly worker: "in development" | "as deployed";
  readonly print: (line: string) => void;
};

/** Brings everything up. @throws what `startStack` throws; nothing runs then */
export async function openStage(plans: readonly Plan[], surroundings: Surroundings): Promise<OpenStage> {
  const { stateDir, worker, print, chance, signal } = surroundings;
  const labState = openStateDir(join(stateDir, "lab"));
  const supervisor = new Supervisor(labState);
  let running: RunningStack | null = null;
  const stop = async (): Promise<void> => {
    await running?.stop();
    await supervisor.stopAll();
  };
  try {
    const lab = await labHosts(plans);
    const machines = [...Map.groupBy(lab, ({ machine }) => machine)].map(([name, hosts]) => {
      const start = () => startHosts(supervisor, labState, name, hosts);
      return { name, start, handle: handle(supervisor, name, start) };
    });
    const urls = await Promise.all(machines.map(({ start }) => start()));
    const hosts: Record<string, string> = Object.assign(strangers(plans), ...urls);
    const catalogFile = join(stateDir, "catalog.json");
    const catalog = JSON.stringify(catalogOf(plans, hosts));
    writeFileSync(catalogFile, catalog);
    const inspectorPort = worker === "as deployed" ? await freePort() : null;
    const deployed = { startWorker: productionWorker((spec) => spec, catalog, { inspectorPort }) };
    running = await startStack(
      { port: 0, stateDir, catalogFile, lab: false },
      { print, signal, usualPorts: false, ...(inspectorPort === null ? {} : deployed) },
    );
    const { stack, parts, crashed } = running;
    const credential = credentialsOf(stateDir);
    const admin = (): Gateway => ({ url: stack.gateway, token: credential("admin") });
    const stage: Stage = {
      gateway: stack.gateway,
      database: stack.database,
      hosts,
      machine: (name) => {
        const found = machines.find((machine) => machine.name === name);
        if (found === undefined) throw new Error(`no machine is named ${name}`);
        return found.handle;
      },
      keys: await issueKeys(admin()),
      admin,
      runtime: {
        group: parts.worker.pid(),
        isolate: inspectorPort === null ? null : `ws://127.0.0.1:${inspectorPort}/gateway`,
      },
      chance,
      signal,
    };
    return { stage, crashed: Promise.race([crashed, supervisor.crashed]), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The lab's side of the plans: each host with a port of its own, serving every model that stands on it. */
function labHosts(plans: readonly Plan[]): Promise<(LabHost & Pick<HostPlan, "machine">)[]> {
  const hosts = plans.flatMap((plan) =>
    plan.hosts.filter(isOfLab).map(async ({ id, machine, engine = "vllm", slots, ttftMs, tokensPerSecond }) => {
      const models = plan.models.filter(({ on }) => on.includes(id)).map((model) => model.id);
      return { id, machine, engine, port: await freePort(), models, slots, ttftMs, tokensPerSecond };
    }),
  );
  return Promise.all(hosts);
}

/** Hosts that a scenario brings along itself: base URL by id. */
function strangers(plans: readonly Plan[]): Record<string, string> {
  const hosts = plans.flatMap((plan) => plan.hosts);
  return Object.fromEntries(hosts.flatMap(({ id, url }) => (url === undefined ? [] : [[id, url]])));
}

function isOfLab({ url }: HostPlan): boolean {
  return url === undefined;
}

const issued = z.object({ key: z.string() });

/** API keys do not expire within a run, and each owner is a caller of its own. */
async function issueKeys(admin: Gateway): Promise<string[]> {
  const keys: string[] = [];
  for (let number = 1; number <= CALLERS; number++) {
    const body = { owner: `caller-${number}`, tier: "default", scopes: ["inference"], label: "chaos" };
    keys.push(issued.parse(await ask(admin, { method: "POST", path: "/admin/keys", body })).key);
  }
  return keys;
}
