/** Starts a contestant's program and waits until the engine answers through it. */
import { PartFailure, PartSilent } from "#scripts/stack/part-failure.ts";
import type { PartSpec } from "#scripts/stack/supervisor.ts";
import { type Absent, MODEL, type Ring, type Running } from "./contestant.ts";
import { tellingLine } from "./telling-line.ts";

/** LiteLLM, the slowest, takes 16 s on two busy cores. */
const READY_LIMIT_MS = 90_000;
/** Of one question: the first is what warms LiteLLM up, which took it 2.3 s. */
const ANSWER_LIMIT_MS = 10_000;

const QUESTION = JSON.stringify({ model: MODEL, messages: [{ role: "user", content: "Are you there?" }] });

/**
 * @param limitMs how long it may take
 * @returns the contestant, or why it does not answer; then nothing of it runs
 * @throws what the ring's signal was aborted with
 */
export async function answering(
  ring: Ring,
  spec: PartSpec,
  { what, url, headers }: Omit<Running, "groups">,
  limitMs = READY_LIMIT_MS,
): Promise<Running | Absent> {
  // One that falls out of the ring ends nobody else's bout.
  const part = ring.supervisor.launch({ ...ring.pinned(spec), expendable: true });
  try {
    await ring.supervisor.ready(part, limitMs, () => asked(url, headers, ring.signal));
  } catch (failure) {
    ring.signal.throwIfAborted();
    if (!(failure instanceof PartFailure)) throw failure;
    if (failure instanceof PartSilent) await ring.supervisor.end(spec.name, "ask");
    return { absent: `${what} does not start: ${tellingLine(failure)}` };
  }
  return { what, url, headers, groups: [part.pid] };
}

/** True, or null while it does not answer as the engine does. */
async function asked(url: string, headers: Readonly<Record<string, string>>, over: AbortSignal): Promise<true | null> {
  const response = await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: QUESTION,
    signal: AbortSignal.any([over, AbortSignal.timeout(ANSWER_LIMIT_MS)]),
  });
  const answer: unknown = await response.json();
  const isAnswer = typeof answer === "object" && answer !== null && "choices" in answer;
  return response.ok && isAnswer ? true : null;
}
