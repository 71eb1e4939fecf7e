/** Callers who read slowly from one place, which is weighed before they come and while they read. Judges nothing. */
import { setTimeout as sleep } from "node:timers/promises";
import { megabytes } from "../finding.ts";
import { each, netWeight, type Runtime, type Weight } from "../net-weight.ts";
import { talk } from "../question.ts";
import { sum } from "../statistics.ts";
import type { Firehose, Taken } from "./firehose.ts";
import type { ReadersScale } from "./scale.ts";
import { readSlowly } from "./slow-reader.ts";

export const MODEL = "chaos/readers";
/** More than the sockets between the processes hold: whoever reads this slowly must slow its host. */
export const LONG_BYTES = 200 * 1_024 * 1_024;
const BYTES_PER_SECOND = 1_024;
const REST_MS = 4_000;
const QUICK_AT_ONCE = 10;

/** Where they read: something that passes the firehose's answers on. */
export type Readable = {
  /** Base URL. */
  readonly url: string;
  readonly keys: readonly string[];
  readonly runtime: Runtime;
  readonly firehose: Firehose;
};

export type Reading = {
  /** Of each answer, from the firehose. */
  readonly taken: readonly Taken[];
  /** By each caller. */
  readonly read: readonly number[];
  /** Connections of callers that still stand. */
  readonly open: number;
  /** What each of them has added. */
  readonly each: Weight;
};

/** @throws Error when it cannot be weighed, or the run is given up */
export async function readAll(
  { url, keys, runtime, firehose }: Readable,
  { readers: count, answerBytes, forMs }: ReadersScale,
  signal: AbortSignal,
  tell: (line: string) => void,
): Promise<Reading> {
  const bodyOf = (bytes: number) => talk({ model: MODEL, text: `[[bytes=${bytes}]]`, tokens: 1 });
  const body = bodyOf(answerBytes);
  const keyOf = (at: number): string => keys[at % keys.length] ?? "";
  // Heaps grow to their working size by what passes through them: as much as the slow ones could take passes first.
  for (let at = 0; at < count; at += QUICK_AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(QUICK_AT_ONCE, count - at) }, (_, one) => readQuickly(url, keyOf(one), body)),
    );
  const reading: ReturnType<typeof readSlowly>[] = [];
  try {
    await sleep(REST_MS, undefined, { signal });
    const before = await netWeight(runtime);
    const since = firehose.taken.length;
    for (let at = 0; at < count; at++)
      reading.push(readSlowly(url, keyOf(at), at === 0 ? bodyOf(LONG_BYTES) : body, BYTES_PER_SECOND));
    const taken = (): Taken[] => firehose.taken.slice(since);
    const isOpen = (): number => reading.filter((one) => one.isOpen()).length;
    for (const endMs = Date.now() + forMs; Date.now() < endMs; await sleep(1_000, undefined, { signal }))
      tell(`${isOpen()} read, their host has said ${megabytes(sum(taken().map(({ bytes }) => bytes)))}`);
    const after = await netWeight(runtime);
    return {
      taken: taken(),
      read: reading.map((one) => one.readBytes()),
      open: isOpen(),
      each: each(before, after, count),
    };
  } finally {
    for (const one of reading) one.close();
  }
}

async function readQuickly(url: string, key: string, body: object): Promise<void> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  for await (const _part of response.body ?? []);
}
