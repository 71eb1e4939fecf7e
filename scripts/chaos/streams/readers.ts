/**
 * Callers who read a thousandth of what their host could say: they must slow the host, and not fill the Worker's memory.
 * What lies between the processes lies in the system's socket buffers, some megabytes on each way. The same readers read
 * from bare workerd at the same time, since a pair of connections has its price without any Worker.
 */
import { megabytes } from "../finding.ts";
import type { Part, Told } from "../play.ts";
import { progressOf } from "../progress-line.ts";
import { startBare } from "./bare.ts";
import type { Firehose } from "./firehose.ts";
import { judgeReaders } from "./judge-readers.ts";
import { MODEL, readAll } from "./read-all.ts";
import type { ReadersScale } from "./scale.ts";

/** @param folder for bare workerd */
export function readers(scale: ReadersScale, firehose: Firehose, folder: string): Part<Told> {
  const { readers: count, answerBytes, forMs } = scale;
  let state = "";
  const tell = (line: string): void => {
    state = line;
  };
  const host = {
    id: "readers-host",
    machine: "readers",
    url: firehose.url,
    slots: 1_000,
    ttftMs: 0,
    tokensPerSecond: 1,
  };
  return {
    name: "readers",
    hosts: [host],
    models: [{ id: MODEL, on: [host.id] }],
    async play({ gateway: url, keys, runtime, signal }) {
      const bare = await startBare(folder, signal);
      try {
        const [reading, compared] = await Promise.all([
          readAll({ url, keys, runtime, firehose }, scale, signal, tell),
          readAll(bare, scale, signal, () => undefined),
        ]);
        return {
          setting: `${count} readers at 1 KiB/s of answers of ${megabytes(answerBytes)} for ${forMs / 1_000} s`,
          findings: judgeReaders(reading, compared.each),
        };
      } finally {
        await bare.stop();
      }
    },
    progress: (startedAtMs, nowMs) => progressOf("readers", startedAtMs, nowMs, state),
  };
}
