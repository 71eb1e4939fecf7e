/**
 * Asking one host how it is: whether it is well, how much it has to do, what it serves. Health alone decides the result;
 * what a host does not tell of the rest is unknown and does it no harm. The only I/O is the way to the host, which is
 * the one that requests take.
 *
 * One question after the other: the platform lets an invocation wait for the headers of six answers at once (Workers,
 * limits), and a question that stands in that line would look like a host's silence.
 */
import type { Host } from "#src/catalog/schema.ts";
import { doorsAnswer } from "#src/upstream/door.ts";
import type { Ask } from "#src/upstream/reach.ts";
import { type Answer, askBounded, type Bounds } from "./bounded-ask.ts";
import { canary } from "./canary.ts";
import { busySlots, servedNames, totalSlots } from "./engine-facts.ts";
import type { ProbeResult } from "./health.ts";
import { type HostLoad, loadOf, UNKNOWN_LOAD } from "./load.ts";

export type Probed = {
  readonly result: ProbeResult;
  /** Why it is not healthy, in a few words without addresses or secrets. */
  readonly reason: string | null;
  readonly load: HostLoad;
  /** Names that it serves; null when it does not tell. */
  readonly serves: readonly string[] | null;
  /** Requests that it works on at once, by its own word. */
  readonly slots: number | null;
};

/** Below the probe interval, above a busy host's worst honest answer. */
const HEALTH: Bounds = { withinMs: 3_000, maxBytes: 16 * 1024 };
/** All further questions together. */
const FURTHER_WITHIN_MS = 3_000;
/** A list of a few hundred models with their descriptions; slots of a build that tells prompts; metrics are 100 KB. */
const FURTHER_BYTES = 1024 * 1024;

/**
 * One probe.
 *
 * @param ask reaches a path on the host
 * @param canaryName the name to have one token generated with; null when that is not due
 * @returns `loading` for llama.cpp's 503 while a model loads, which is not a failure. Never rejects
 */
export async function probe(host: Host, ask: Ask, canaryName: string | null): Promise<Probed> {
  if (host.engine === "openai") return probeService(host, ask, canaryName);
  const health = await healthOf(ask);
  if (health.result !== "healthy") return told(health);
  const further = furtherQuestions(ask);
  const load = await loadBy(host, further);
  const slots = host.engine === "llamacpp" ? await further("/props", totalSlots) : null;
  const serves = host.native ? null : await further("/v1/models", servedNames);
  const found = told(health, { load, slots, serves });
  // In a full host's line a canary would prove nothing; and a full host has traffic that tells.
  return canaryName === null || isFull(host, found) ? found : withCanary(host, ask, canaryName, found);
}

/** A host that could not even be asked. */
export function unasked(reason: string): Probed {
  return told({ result: "failed", reason });
}

/** A service that speaks OpenAI's protocol has no health of its own: its list of models, with the key, stands for it. */
async function probeService(host: Host, ask: Ask, canaryName: string | null): Promise<Probed> {
  const answer = await askBounded(ask, "/v1/models", { method: "GET" }, { ...HEALTH, maxBytes: FURTHER_BYTES });
  if ("silence" in answer) return unasked(answer.silence);
  // Too many questions is an answer: of a service that is there.
  if (answer.status !== 200 && answer.status !== 429) return unasked(`status ${answer.status}`);
  const serves = answer.status === 200 && answer.isWhole ? servedNames(answer.text) : null;
  const found = told({ result: "healthy", reason: null }, { serves });
  return canaryName === null ? found : withCanary(host, ask, canaryName, found);
}

type Health = Pick<Probed, "result" | "reason">;

function told(health: Health, rest: Partial<Omit<Probed, keyof Health>> = {}): Probed {
  return { load: UNKNOWN_LOAD, serves: null, slots: null, ...rest, ...health };
}

async function withCanary(host: Host, ask: Ask, name: string, found: Probed): Promise<Probed> {
  const reason = await canary(host, ask, name);
  return reason === null ? found : { ...found, result: "failed", reason };
}

async function healthOf(ask: Ask): Promise<Health> {
  const answer = await askBounded(ask, "/health", { method: "GET" }, HEALTH);
  if ("silence" in answer) return { result: "failed", reason: answer.silence };
  // A login page may come with status 200.
  const door = doorsAnswer(answer.status, NO_HEADERS, answer.text);
  if (door !== null) {
    const reason = door.kind === "refused" ? "the door before it refused the gateway" : door.cause;
    return { result: "failed", reason: `status ${answer.status}: ${reason}` };
  }
  if (answer.status === 200) return { result: "healthy", reason: null };
  if (isLoading(answer)) return { result: "loading", reason: "loading its model" };
  return { result: "failed", reason: `status ${answer.status}` };
}

const NO_HEADERS = new Headers();

function isLoading({ status, text }: Answer): boolean {
  return status === 503 && text.includes("unavailable_error") && /loading model/i.test(text);
}

/** Asks a path and reads one fact out of what it says; null for no answer, any other status, and what cannot be read. */
type Further = <T>(path: string, read: (text: string, isWhole: boolean) => T | null) => Promise<T | null>;

function furtherQuestions(ask: Ask): Further {
  let leftMs = FURTHER_WITHIN_MS;
  return async (path, read) => {
    if (leftMs <= 0) return null;
    const beganMs = Date.now();
    const answer = await askBounded(ask, path, { method: "GET" }, { withinMs: leftMs, maxBytes: FURTHER_BYTES });
    leftMs -= Math.max(0, Date.now() - beganMs);
    return "silence" in answer || answer.status !== 200 ? null : read(answer.text, answer.isWhole);
  };
}

async function loadBy({ engine }: Host, further: Further): Promise<HostLoad> {
  const load = await further("/metrics", (text, isWhole) =>
    // Of an exposition that is cut off the last line is no line.
    loadOf(engine, isWhole ? text : text.slice(0, text.lastIndexOf("\n") + 1)),
  );
  if (load !== null && load.running !== null) return load;
  // llama.cpp has no metrics unless it is started with them.
  const running = engine === "llamacpp" ? await further("/slots", busySlots) : null;
  return { ...(load ?? UNKNOWN_LOAD), running };
}

function isFull(host: Host, { load: { running, waiting }, slots }: Probed): boolean {
  return (waiting ?? 0) > 0 || (running ?? 0) >= Math.min(host.slots, slots ?? host.slots);
}
