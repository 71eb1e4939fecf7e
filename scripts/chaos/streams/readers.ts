/**
 * Callers who read a thousandth of what their host could say: they must slow the host, and not fill the Worker's memory.
 * What lies between the processes lies in the system's socket buffers, some megabytes on each way.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { medianOf, weigh } from "../memory.ts";
import type { Part, Told } from "../play.ts";
import { progressOf } from "../progress-line.ts";
import { talk } from "../question.ts";
import { sum } from "../statistics.ts";
import type { Firehose } from "./firehose.ts";
import { judgeReaders, LONG_BYTES, megabytes } from "./judge-readers.ts";
import type { ReadersScale } from "./scale.ts";
import { readSlowly } from "./slow-reader.ts";

const MODEL = "chaos/readers";
const BYTES_PER_SECOND = 1_024;
const REST_MS = 4_000;
const LAST = 5;
const QUICK_AT_ONCE = 10;

export function readers({ readers: count, answerBytes, forMs }: ReadersScale, firehose: Firehose): Part<Told> {
  let state = "";
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
    async play(stage) {
      const { signal, gateway, keys } = stage;
      const bodyOf = (bytes: number) => talk({ model: MODEL, text: `[[bytes=${bytes}]]`, tokens: 1 });
      const body = bodyOf(answerBytes);
      const open = (at: number, asked: typeof body) =>
        readSlowly(gateway, keys[at % keys.length] ?? "", asked, BYTES_PER_SECOND);
      // Heaps grow to their working size by what passes through them: as much as the slow ones could take passes first.
      for (let at = 0; at < count; at += QUICK_AT_ONCE)
        await Promise.all(
          Array.from({ length: Math.min(QUICK_AT_ONCE, count - at) }, (_, one) =>
            readQuickly(gateway, keys[one] ?? "", body),
          ),
        );
      const scale = weigh(stage.workerGroup);
      const reading: ReturnType<typeof open>[] = [];
      try {
        await sleep(REST_MS, undefined, { signal });
        const before = medianOf(scale.weighings);
        const since = firehose.taken.length;
        for (let at = 0; at < count; at++) reading.push(open(at, at === 0 ? bodyOf(LONG_BYTES) : body));
        const said = (): number => sum(firehose.taken.slice(since).map(({ bytes }) => bytes));
        for (const endMs = Date.now() + forMs; Date.now() < endMs; await sleep(1_000, undefined, { signal }))
          state = `${reading.filter((one) => one.isOpen()).length} read, their host has said ${megabytes(said())}`;
        const after = medianOf(scale.weighings.slice(-LAST));
        const findings = judgeReaders({
          taken: firehose.taken.slice(since),
          read: reading.map((one) => one.readBytes()),
          open: reading.filter((one) => one.isOpen()).length,
          before,
          after,
        });
        return {
          setting: `${count} readers at 1 KiB/s of answers of ${megabytes(answerBytes)} for ${forMs / 1_000} s`,
          findings,
        };
      } finally {
        scale.stop();
        for (const one of reading) one.close();
      }
    },
    progress: (startedAtMs, nowMs) => progressOf("readers", startedAtMs, nowMs, state),
  };
}

async function readQuickly(gateway: string, key: string, body: object): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const response = await fetch(`${gateway}/v1/chat/completions`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  for await (const _part of response.body ?? []);
}
