/**
 * Callers who read a thousandth of what their host could say: they must slow the host, and not fill the Worker's memory.
 * What lies between the processes lies in the system's socket buffers, some megabytes on each way.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Finding, fact, must, mustOnTime } from "../finding.ts";
import { type Weighing, weigh } from "../memory.ts";
import type { Part, Told } from "../play.ts";
import { talk } from "../question.ts";
import { quantile } from "../statistics.ts";
import type { Firehose } from "./firehose.ts";
import type { ReadersScale } from "./scale.ts";
import { readSlowly } from "./slow-reader.ts";

const MODEL = "chaos/readers";
const BYTES_PER_SECOND = 1_024;
/** The number. */
const MOST_BYTES = 64 * 1_024;
const REST_MS = 4_000;
const LAST = 5;

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
      const open = (at: number) =>
        readSlowly(
          gateway,
          keys[at % keys.length] ?? "",
          talk({ model: MODEL, text: "all", tokens: 1 }),
          BYTES_PER_SECOND,
        );
      // The runtime's first streams cost it what later ones share.
      const first = Array.from({ length: keys.length }, (_, at) => open(at));
      await sleep(REST_MS, undefined, { signal });
      for (const one of first) one.close();
      const scale = weigh(stage.workerGroup);
      const reading: ReturnType<typeof open>[] = [];
      try {
        await sleep(REST_MS, undefined, { signal });
        const before = quantile(bytesOf(scale.weighings), 0.5);
        const since = firehose.taken.length;
        for (let at = 0; at < count; at++) reading.push(open(at));
        for (const endMs = Date.now() + forMs; Date.now() < endMs; await sleep(1_000, undefined, { signal }))
          state = `${reading.filter((one) => one.isOpen()).length} read, their host has said ${megabytes(sum(firehose.taken.slice(since)))}`;
        const after = quantile(bytesOf(scale.weighings.slice(-LAST)), 0.5);
        const findings = judgeReaders({
          answerBytes,
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
    progress: (startedAtMs, nowMs) =>
      `${String(Math.round((nowMs - startedAtMs) / 1_000)).padStart(5)} s  readers   ${state}`,
  };
}

export type ReadersFacts = {
  readonly answerBytes: number;
  /** Of each answer, by the gateway from its host. */
  readonly taken: readonly number[];
  /** By each caller. */
  readonly read: readonly number[];
  /** Connections of callers that still stand. */
  readonly open: number;
  readonly before: number | null;
  readonly after: number | null;
};

/** Pure. */
export function judgeReaders({ answerBytes, taken, read, open, before, after }: ReadersFacts): Finding[] {
  const each = before === null || after === null ? null : (after - before) / read.length;
  const most = Math.max(0, ...taken);
  const slowed = taken.length === read.length && most < answerBytes;
  return [
    must("readers that are still served", `= ${read.length}`, open, open === read.length),
    fact("  read by each", `${Math.round((quantile(read, 0.5) ?? 0) / 1_024)} KiB`),
    must("the host is slowed: taken of an answer, at most", `< ${megabytes(answerBytes)}`, megabytes(most), slowed),
    fact("  in the mean", megabytes(taken.length === 0 ? 0 : sum(taken) / taken.length)),
    mustOnTime(
      "memory of each",
      `<= ${MOST_BYTES / 1_024} KiB`,
      each === null ? "not known here" : `${(each / 1_024).toFixed(1)} KiB`,
      each !== null && each <= MOST_BYTES,
    ),
  ];
}

function bytesOf(weighings: readonly Weighing[]): number[] {
  return weighings.map(({ bytes }) => bytes);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}
