/** Bare workerd, which passes everything on natively: what the platform itself keeps of slow readers. */
import { mkdirSync } from "node:fs";
import { startBareWorkerd } from "#scripts/bench/contestants/bare.ts";
import { freePort } from "#scripts/stack/ports.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { Supervisor } from "#scripts/stack/supervisor.ts";
import type { Runtime } from "../net-weight.ts";
import { startFirehose } from "./firehose.ts";
import type { Readable } from "./read-all.ts";

export type Bare = Readable & { stop(): Promise<void> };

/** Starts it before a firehose of its own. @throws what `startBareWorkerd` throws; nothing runs then */
export async function startBare(folder: string, signal: AbortSignal): Promise<Bare> {
  const firehose = await startFirehose();
  mkdirSync(folder, { recursive: true });
  const supervisor = new Supervisor(openStateDir(folder));
  const stop = async (): Promise<void> => {
    await supervisor.stopAll();
    await firehose.stop();
  };
  try {
    const port = await freePort();
    const ring = { supervisor, engine: firehose.url, kept: folder, folder, print: () => undefined, signal };
    const running = await startBareWorkerd({ ...ring, pinned: (spec) => spec }, port);
    const { origin } = new URL(running.url);
    const runtime: Runtime = {
      group: running.groups[0] ?? -1,
      isolate: `ws://127.0.0.1:${port}/main`,
    };
    return { url: origin, keys: [""], runtime, firehose, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
