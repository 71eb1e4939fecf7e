/** One window of load: so many requests at once, each followed by the next, or so many begun by second. */
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import { MODEL } from "../contestants/contestant.ts";
import { directiveText } from "../engine/directive.ts";
import { Exchange } from "./exchange.ts";
import type { Job, Seen } from "./job.ts";
import { type StreamSeen, Window } from "./window.ts";

const SYSTEM =
  "You are a careful assistant of a small company. Answer in the language of the question, briefly, and say so when you do not know something. Never make up names, numbers or sources.";

export async function runJob(job: Job): Promise<Seen> {
  const { target, connections, ratePerS, warmUpMs, forMs, isToEnd } = job;
  const { origin, pathname, search } = new URL(target.url);
  // Long enough for a first token, and for the bench to notice that somebody hangs.
  const pool = new Pool(origin, { connections, pipelining: 1, headersTimeout: 30_000, bodyTimeout: 30_000 });
  const window = new Window(job);
  const body = bodyOf(job);
  const flowing = new Set<StreamSeen>();
  let nth = 0;
  let over = false;
  const ask = (): Promise<void> => {
    const headers = { "content-type": "application/json", ...target.headers[nth++ % target.headers.length] };
    return new Promise((done) => {
      const exchange = new Exchange(job, window, flowing, done);
      pool.dispatch({ path: pathname + search, method: "POST", headers, body }, exchange);
    });
  };
  const asker = async (): Promise<void> => {
    while (!over) await ask();
  };
  const paced = async (perS: number): Promise<void> => {
    const startMs = performance.now();
    for (let begun = 0; !over; begun++) {
      const dueMs = startMs + (begun * 1_000) / perS;
      if (dueMs > performance.now()) await sleep(dueMs - performance.now());
      void ask();
    }
  };
  const work = ratePerS === null ? Array.from({ length: connections }, asker) : [paced(ratePerS)];
  await sleep(warmUpMs);
  window.open();
  await sleep(forMs);
  if (isToEnd === true) {
    over = true;
    await Promise.all(work);
  }
  for (const stream of flowing) window.ended(stream);
  const seen = window.close();
  over = true;
  // What is still under way is nobody's any more.
  await pool.destroy();
  await Promise.all(work);
  return seen;
}

function bodyOf({ stream, answer }: Job): string {
  const question = `What does the second paragraph of our terms say about returns? ${directiveText(answer)}`;
  const messages = [
    { role: "system", content: SYSTEM },
    { role: "user", content: question },
  ];
  const max_tokens = Math.max(1, answer.tokens);
  return JSON.stringify({ model: MODEL, messages, max_tokens, temperature: 0.7, ...(stream ? { stream } : {}) });
}
