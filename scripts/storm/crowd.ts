/** The callers of a storm, all together: questions sent evenly over a time, whoever may listen. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Sent } from "./caller.ts";
import type { Question } from "./question.ts";

/** While nobody listens. */
const TRY_AGAIN_MS = 200;

/**
 * Sends every question at its time, and until it could be sent. Resolves when all are over.
 *
 * @param send yields null when nobody listened
 * @param seen is told of each that is over
 */
export async function crowd(
  questions: readonly Question[],
  sendOverMs: number,
  send: (question: Question) => Promise<Sent | null>,
  seen: (sent: Sent) => void,
  signal: AbortSignal,
): Promise<void> {
  const startedAtMs = Date.now();
  const callers: Promise<void>[] = [];
  const call = async (question: Question): Promise<void> => {
    for (let sent = await send(question); ; sent = await send(question)) {
      if (sent !== null) return seen(sent);
      if (signal.aborted) return;
      await sleep(TRY_AGAIN_MS);
    }
  };
  for (const [at, question] of questions.entries()) {
    const waitMs = startedAtMs + (at * sendOverMs) / questions.length - Date.now();
    if (waitMs > 0) await sleep(waitMs, undefined, { signal });
    const calling = call(question);
    // Whoever waits for it is still at the next question.
    calling.catch(() => undefined);
    callers.push(calling);
  }
  await Promise.all(callers);
}
