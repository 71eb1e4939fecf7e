/**
 * Callers who read a thousandth of what their host could say: they must slow the host, and not fill the Worker's memory.
 * What lies between the processes lies in the system's socket buffers, some megabytes on each way.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Finding, fact, must, mustOnTime } from "../finding.ts";
import { type Weighing, weigh } from "../memory.ts";
import type { Part, Told } from "../play.ts";
import { progressOf } from "../progress-line.ts";
import { talk } from "../question.ts";
import { quantile } from "../statistics.ts";
import type { Firehose, Taken } from "./firehose.ts";
import type { ReadersScale } from "./scale.ts";
import { readSlowly } from "./slow-reader.ts";

/** More than the sockets between the processes hold: whoever reads this slowly must slow its host. */
const LONG_BYTES = 200 * 1_024 * 1_024;
const MODEL = "chaos/readers";
const BYTES_PER_SECOND = 1_024;
/** The number. */
const MOST_BYTES = 64 * 1_024;
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
        const before = quantile(bytesOf(scale.weighings), 0.5);
        const since = firehose.taken.length;
        for (let at = 0; at < count; at++) reading.push(open(at, at === 0 ? bodyOf(LONG_BYTES) : body));
        for (const endMs = Date.now() + forMs; Date.now() < endMs; await sleep(1_000, undefined, { signal }))
          state = `${reading.filter((one) => one.isOpen()).length} read, their host has said ${megabytes(sum(firehose.taken.slice(since).map(({ bytes }) => bytes)))}`;
        const after = quantile(bytesOf(scale.weighings.slice(-LAST)), 0.5);
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
    progress: (startedAtMs, nowMs) => progressOf("readers", startedAtMs, `${state}`, nowMs),
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

export type ReadersFacts = {
  /** Of each answer, by the gateway from its host. */
  readonly taken: readonly Taken[];
  /** By each caller. */
  readonly read: readonly number[];
  /** Connections of callers that still stand. */
  readonly open: number;
  readonly before: number | null;
  readonly after: number | null;
};

/** Pure. */
export function judgeReaders({ taken, read, open, before, after }: ReadersFacts): Finding[] {
  const each = before === null || after === null ? null : (after - before) / read.length;
  const long = taken.find(({ ofBytes }) => ofBytes === LONG_BYTES);
  const total = sum(taken.map(({ bytes }) => bytes));
  return [
    must("readers that are still served", `= ${read.length}`, open, open === read.length),
    fact("  read by each", `${Math.round((quantile(read, 0.5) ?? 0) / 1_024)} KiB`),
    fact("  taken from the host for each, most of it in sockets", megabytes(total / Math.max(1, taken.length))),
    must(
      "a very long answer slows its host: taken of it",
      `< ${megabytes(LONG_BYTES)}`,
      long === undefined ? "none" : megabytes(long.bytes),
      long !== undefined && long.bytes < LONG_BYTES,
    ),
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
