/**
 * Very many streams at the same time, slow and long: no event is lost, and what each costs the Worker in memory is little
 * and stays the same.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { arrive, even } from "../arrivals.ts";
import type { Finding } from "../finding.ts";
import { strain } from "../machine.ts";
import { medianOf, weigh } from "../memory.ts";
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
/** Weighings before the first stream. */
const REST_MS = 4_000;

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

/** One run: so many streams, weighed before they begin and while all of them flow. */
async function holdAll(
  stage: Stage,
  model: string,
  { streams, eventsPerSecond, forMs }: HeldScale,
  tell: (line: string) => void,
): Promise<Finding[]> {
  const { signal, gateway, keys } = stage;
  const ask = (caller: number, tokens: number, begun: () => void): Promise<Held> =>
    hold(gateway, keys[caller] ?? "", "chaos-held", talk({ model, text: "held", tokens, most: tokens }), begun);
  await arrive(
    even(WARM_UP.streams, WARM_UP.perSecond, keys.length),
    ({ caller }) => ask(caller, WARM_UP.tokens, () => undefined),
    signal,
  );
  const scale = weigh(stage.workerGroup);
  const strainOf = strain();
  try {
    await sleep(REST_MS, undefined, { signal });
    const before = medianOf(scale.weighings);
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
    const sinceMs = Date.now();
    await arrive(even(streams, (streams * 1_000) / RAMP_MS, keys.length), stay, signal);
    const plateau = scale.weighings.filter(({ atMs }) => atMs > sinceMs + RAMP_MS && atMs < sinceMs + RAMP_MS + forMs);
    return judgeHeld({
      streams,
      answers,
      expected: expectedText({ number: 0, model, content: `held [[tokens=${tokens}]]`, maxTokens: tokens, stop: [] }),
      tokens,
      before,
      plateau,
      late: strainOf().lateP99Ms,
    });
  } finally {
    scale.stop();
  }
}
