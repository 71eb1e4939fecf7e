/** What happens to the parts of a stack during a storm, and when: kills, the outage of Postgres, hosts that fail. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Handle } from "#scripts/stack/handle.ts";
import { oneOf } from "./chance.ts";
import { freeze } from "./freeze.ts";
import type { Scale } from "./scale.ts";

export type Sky = {
  worker: "up" | "down";
  postgres: "up" | "down" | "frozen";
  kills: number;
  hostFaults: number;
};

/** A host of the lab, and the model of its that streams are asked of; null when only whole answers are. */
export type Target = { readonly url: string; readonly streamed: string | null };

/** Instead of an answer: no generation begins. */
const BEFORE = ["500", "503-loading", "refuse", "html-502", "rate-limited", "redirect"] as const;
/** In the midst of a stream. What the host counts as handed over has then really gone out. */
const WITHIN = ["cut-after", "cut-inside", "fin-after", "fin-inside", "hang-after", "error-event"] as const;
/** A stream has begun to reach its caller by then, so no other host takes over. */
const LATEST_TOKEN = 8;
const SHARE_WITHIN = 0.7;

export type Surroundings = {
  readonly chance: () => number;
  /** Kept up to date. */
  readonly sky: Sky;
  /** Called after each kill, before the Worker is up again. */
  readonly killed: () => void;
  /** Aborted when there shall be no more of it. */
  readonly over: AbortSignal;
};

/** Lets the storm loose upon a stack. Resolves when everything that was taken down is up again. */
export async function weather(
  scale: Scale,
  parts: { readonly worker: Handle; readonly postgres: Handle },
  targets: readonly [Target, ...Target[]],
  { chance, sky, killed, over }: Surroundings,
): Promise<void> {
  const startedAtMs = Date.now();
  const wait = (ms: number): Promise<void> => sleep(Math.max(0, ms), undefined, { signal: over });
  const until = (ms: number): Promise<void> => wait(startedAtMs + ms - Date.now());
  const kills = async (): Promise<void> => {
    for (let kill = 0; kill < scale.kills.count; kill++) {
      await wait(chance() * scale.kills.withinMs);
      sky.worker = "down";
      await parts.worker.end("kill");
      sky.kills += 1;
      killed();
      await parts.worker.start();
      sky.worker = "up";
    }
  };
  const outage = async (): Promise<void> => {
    const { postgresDown: down, postgresFrozen: frozen } = scale;
    await until(down.atMs);
    sky.postgres = "down";
    await parts.postgres.end("ask");
    await until(down.atMs + down.forMs);
    await parts.postgres.start();
    sky.postgres = "up";
    await until(frozen.atMs);
    const thaw = freeze(parts.postgres.pid());
    sky.postgres = "frozen";
    await until(frozen.atMs + frozen.forMs).finally(thaw);
    sky.postgres = "up";
  };
  const faults = async (): Promise<void> => {
    for (let atMs = 0; atMs < scale.sendOverMs; atMs += scale.hostFaultEveryMs) {
      await until(atMs);
      await giveFault(oneOf(targets, chance), chance);
      sky.hostFaults += 1;
    }
  };
  await Promise.all([kills(), outage(), faults()]);
  for (const { url } of targets) await fetch(`${url}/lab/fault`, { method: "DELETE" });
}

async function giveFault({ url, streamed }: Target, chance: () => number): Promise<void> {
  const within = streamed !== null && chance() < SHARE_WITHIN;
  const fault = within
    ? { kind: oneOf(WITHIN, chance), model: streamed, afterTokens: 1 + Math.floor(chance() * LATEST_TOKEN) }
    : // Not its probes: a host that is taken out is asked nothing more, and its fault would never be used up.
      { kind: oneOf(BEFORE, chance), everywhere: false };
  const response = await fetch(`${url}/lab/fault`, { method: "POST", body: JSON.stringify({ ...fault, times: 1 }) });
  if (!response.ok) throw new Error(`the lab refuses a fault: ${await response.text()}`);
}
