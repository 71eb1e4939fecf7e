/** The callers of a storm, all together: questions sent evenly over a time, whoever may listen. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Sent } from "./caller.ts";
import type { Question } from "./question.ts";

/** While nobody listens. */
const TRY_AGAIN_MS = 200;

/**
 * Sends every question at its time, and until it could be sent.
 *
 * @param send yields null when nobody listened
 * @param seen is told of each that is over
 */
export async function crowd(
  questions: readonly Question[],
  sendOverMs: number,
  send: (question: Question) => Promise<Sent | null>,
  seen: (sent: Sent) => void,
): Promise<void> {
  const startedAtMs = Date.now();
  await Promise.all(
    questions.map(async (question, at) => {
      await sleep(startedAtMs + (at * sendOverMs) / questions.length - Date.now());
      for (;;) {
        const sent = await send(question);
        if (sent !== null) return seen(sent);
        await sleep(TRY_AGAIN_MS);
      }
    }),
  );
}
