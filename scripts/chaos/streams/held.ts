/**
 * Very many streams at the same time, slow and long: no event is lost, and what each costs the Worker in memory is little
 * and stays the same.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { arrive, even } from "../arrivals.ts";
import type { Finding } from "../finding.ts";
import { strain } from "../machine.ts";
import { netWeight } from "../net-weight.ts";
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
/** All have begun within this time. */
const RAMP_MS = 10_000;
const WARM_UP = { streams: 50, perSecond: 25, tokens: 20 };
/** Before the first stream, and once all are gone. */
const REST_MS = 4_000;
/** All have begun then, and none is over. */
const WITHIN_PLATEAU_MS = 2_000;

export function held(runs: readonly HeldScale[]): Part<Told> {
  let state = "";
  return {
    name: "held",
    // A pace is a host's: one for each run.
    hosts: runs.map(({ eventsPerSecond }, at) => ({
      ...HOST,
      id: `${HOST.id}-${at}`,
      tokensPerSecond: eventsPerSecond,
    })),
    models: runs.map((_, at) => ({ id: modelOf(at), on: [`${HOST.id}-${at}`] })),
    async play(stage) {
      const findings: Finding[] = [];
      for (const [at, run] of runs.entries()) {
        const tell = (line: string): void => {
          state = line;
        };
        findings.push(...(await holdAll(stage, modelOf(at), run, tell)));
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

/** One run: so many streams; the Worker is weighed before they begin, early and late while all of them flow, and after. */
async function holdAll(
  stage: Stage,
  model: string,
  { streams, eventsPerSecond, forMs }: HeldScale,
  tell: (line: string) => void,
): Promise<Finding[]> {
  const { signal, gateway, keys, runtime } = stage;
  const ask = (caller: number, tokens: number, begun: () => void): Promise<Held> =>
    hold(gateway, keys[caller] ?? "", "chaos-held", talk({ model, text: "held", tokens, most: tokens }), begun);
  await arrive(
    even(WARM_UP.streams, WARM_UP.perSecond, keys.length),
    ({ caller }) => ask(caller, WARM_UP.tokens, () => undefined),
    signal,
  );
  const tokens = Math.ceil((eventsPerSecond * (forMs + RAMP_MS)) / 1_000);
  const answers: Held[] = [];
  let begun = 0;
  const stay = async ({ caller }: { caller: number }): Promise<void> => {
    const answer = await ask(caller, tokens, () => {
      begun += 1;
      tell(`${begun} of ${streams} have begun`);
    });
    answers.push(answer);
    tell(`${answers.length} of ${streams} are over`);
  };
  const weighIn = async (ms: number) => {
    await sleep(ms, undefined, { signal });
    return netWeight(runtime);
  };
  const strainOf = strain();
  const before = await weighIn(REST_MS);
  const [early, late] = await Promise.all([
    weighIn(RAMP_MS + WITHIN_PLATEAU_MS),
    weighIn(RAMP_MS + forMs - WITHIN_PLATEAU_MS),
    arrive(even(streams, (streams * 1_000) / RAMP_MS, keys.length), stay, signal),
  ]);
  const after = await weighIn(REST_MS);
  return judgeHeld({
    streams,
    answers,
    expected: expectedText({ number: 0, model, content: `held [[tokens=${tokens}]]`, maxTokens: tokens, stop: [] }),
    tokens,
    weights: { before, early, late, after },
    lateMs: strainOf().lateP99Ms,
  });
}
