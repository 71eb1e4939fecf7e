/** Bare workerd, which passes everything on natively: what the platform itself keeps of slow readers. */
import { mkdirSync } from "node:fs";
import { bare } from "#scripts/bench/contestants/bare.ts";
import { freePort } from "#scripts/stack/ports.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { Supervisor } from "#scripts/stack/supervisor.ts";
import type { Runtime } from "../net-weight.ts";
import { startFirehose } from "./firehose.ts";
import type { Readable } from "./read-all.ts";

export type Bare = Readable & { stop(): Promise<void> };

/** Starts it before a firehose of its own. @throws what `bare.start` throws; nothing runs then */
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
    const running = await bare.start({
      supervisor,
      engine: firehose.url,
      kept: folder,
      folder,
      pinned: (spec) => ({ ...spec, args: [...spec.args, `--inspector-addr=127.0.0.1:${port}`] }),
      print: () => undefined,
      signal,
    });
    if ("absent" in running) throw new Error(running.absent);
    const { origin } = new URL(running.url);
    const runtime: Runtime = {
      health: `${origin}/health`,
      group: running.groups[0] ?? -1,
      isolate: `ws://127.0.0.1:${port}/main`,
    };
    return { url: origin, keys: [""], runtime, firehose, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
