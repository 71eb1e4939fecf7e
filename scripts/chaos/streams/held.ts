/**
 * Very many streams at the same time, slow and long: no event is lost, and what each costs the Worker in memory is little
 * and stays the same.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { arrive, even } from "../arrivals.ts";
import type { Finding } from "../finding.ts";
import { strain } from "../machine.ts";
import { lastWithin, type Weight, weighEvery } from "../net-weight.ts";
import type { Part, Told } from "../play.ts";
import { progressOf } from "../progress-line.ts";
import { talk } from "../question.ts";
import type { Stage } from "../stage.ts";
import { expectedText } from "./expected.ts";
import { type Held, hold } from "./held-stream.ts";
import { judgeHeld } from "./judge-held.ts";
import type { HeldScale } from "./scale.ts";

const HOST = { id: "held-host", machine: "held", slots: 5_000, ttftMs: 100, tokensPerSecond: 20 };
const modelOf = (at: number): string => `chaos/held-${at}`;
/**
 * As much passes beforehand through a tenth of the streams, and the Worker is weighed while it does: what workerd
 * allocates to pass so much, and does not give back, is no stream's.
 */
const FEWER = 10;
const warmModelOf = (at: number): string => `${modelOf(at)}-warm`;
const MOST_WARM_UP_MS = 30_000;
/** All have begun within this time. */
const RAMP_MS = 10_000;
const WEIGHED_EVERY_MS = 4_000;
/** Once all are gone: until they have been weighed out. */
const REST_MS = 2 * WEIGHED_EVERY_MS;

export function held(runs: readonly HeldScale[]): Part<Told> {
  let state = "";
  return {
    name: "held",
    // A pace is a host's: one for each run.
    hosts: runs.flatMap(({ eventsPerSecond }, at) => [
      { ...HOST, id: modelOf(at).replace("/", "-"), tokensPerSecond: eventsPerSecond },
      { ...HOST, id: warmModelOf(at).replace("/", "-"), tokensPerSecond: eventsPerSecond * FEWER },
    ]),
    models: runs.flatMap((_, at) => [modelOf(at), warmModelOf(at)].map((id) => ({ id, on: [id.replace("/", "-")] }))),
    async play(stage) {
      const findings: Finding[] = [];
      for (const [at, run] of runs.entries()) {
        const tell = (line: string): void => {
          state = line;
        };
        findings.push(...(await holdAll(stage, at, run, tell)));
      }
      const setting = runs
        .map(
          ({ streams, eventsPerSecond, forMs }) =>
            `${streams} streams of ${eventsPerSecond} events/s for ${forMs / 1_000} s`,
        )
        .join(", then ");
      return { setting, findings };
    },
    progress: (startedAtMs, nowMs) => progressOf("held", startedAtMs, nowMs, state),
  };
}

/** One run: so many streams; the Worker is weighed before, early and late while all of them flow, and after. */
async function holdAll(
  stage: Stage,
  at: number,
  { streams, eventsPerSecond, forMs }: HeldScale,
  tell: (line: string) => void,
): Promise<Finding[]> {
  const { signal, gateway, keys, runtime } = stage;
  const ask = (model: string, caller: number, tokens: number, begun: () => void): Promise<Held> =>
    hold(gateway, keys[caller] ?? "", "chaos-held", talk({ model, text: "held", tokens, most: tokens }), begun);
  const fewer = Math.ceil(streams / FEWER);
  const warmMs = Math.min(forMs, MOST_WARM_UP_MS);
  const tokens = Math.ceil((eventsPerSecond * (forMs + RAMP_MS)) / 1_000);
  const model = modelOf(at);
  const answers: Held[] = [];
  let begun = 0;
  const stay = async ({ caller }: { caller: number }): Promise<void> => {
    const answer = await ask(model, caller, tokens, () => {
      begun += 1;
      tell(`${begun} of ${streams} have begun`);
    });
    answers.push(answer);
    tell(`${answers.length} of ${streams} are over`);
  };
  const strainOf = strain();
  const scale = weighEvery(WEIGHED_EVERY_MS, runtime);
  try {
    tell("warming up");
    const warmTokens = Math.ceil((eventsPerSecond * FEWER * warmMs) / 1_000);
    const warmSinceMs = Date.now();
    await Promise.all(
      Array.from({ length: fewer }, (_, one) => ask(warmModelOf(at), one % keys.length, warmTokens, () => undefined)),
    );
    const allSinceMs = Date.now() + RAMP_MS;
    await arrive(even(streams, (streams * 1_000) / RAMP_MS, keys.length), stay, signal);
    const overMs = Date.now();
    await sleep(REST_MS, undefined, { signal });
    const weighings = await scale.stop();
    const within = (sinceMs: number, forMs: number): Weight => lastWithin(weighings, sinceMs, sinceMs + forMs);
    return judgeHeld({
      streams,
      fewer,
      answers,
      expected: expectedText({ number: 0, model, content: `held [[tokens=${tokens}]]`, maxTokens: tokens, stop: [] }),
      tokens,
      weights: {
        before: within(warmSinceMs, warmMs),
        early: within(allSinceMs, 2 * WEIGHED_EVERY_MS),
        late: within(allSinceMs, forMs),
        after: within(overMs, Number.POSITIVE_INFINITY),
      },
      lateMs: strainOf().lateP99Ms,
    });
  } finally {
    await scale.stop();
  }
}
