/**
 * Very many streams at the same time, slow and long: no event is lost, and what each costs the Worker in memory is little
 * and stays the same.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { arrive, even } from "../arrivals.ts";
import { type Finding, fact, must, mustOnTime, percent } from "../finding.ts";
import { strain } from "../machine.ts";
import { growth, type Weighing, weigh } from "../memory.ts";
import type { Part, Told } from "../play.ts";
import { progressOf } from "../progress-line.ts";
import { talk } from "../question.ts";
import type { Stage } from "../stage.ts";
import { quantile } from "../statistics.ts";
import { expectedText } from "./expected.ts";
import { type Held, hold } from "./held-stream.ts";
import type { HeldScale } from "./scale.ts";

const HOST = { id: "held-host", machine: "held", slots: 5_000, ttftMs: 100, tokensPerSecond: 20 };
const modelOf = (at: number): string => `chaos/held-${at}`;
/** The number. */
const MOST_BYTES = 250_000;
/** Heaps breathe; what leaks grows with every event. */
const MOST_GROWTH = 0.1;
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
        const told = (line: string): void => {
          state = line;
        };
        findings.push(...(await one(stage, modelOf(at), run, told)));
      }
      const setting = runs
        .map(
          ({ streams, eventsPerSecond, forMs }) =>
            `${streams} streams of ${eventsPerSecond} events/s for ${forMs / 1_000} s`,
        )
        .join(", then ");
      return { setting, findings };
    },
    progress: (startedAtMs, nowMs) => progressOf("held", startedAtMs, `${state}`, nowMs),
  };
}

async function one(
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
    const before = quantile(bytesOf(scale.weighings), 0.5);
    const tokens = Math.ceil((eventsPerSecond * (forMs + RAMP_MS)) / 1_000);
    const answers: Held[] = [];
    let begun = 0;
    const told = setInterval(
      () => tell(`${streams - answers.length} of ${streams} streams, ${begun} have begun`),
      1_000,
    );
    const sinceMs = Date.now();
    const all = arrive(
      even(streams, (streams * 1_000) / RAMP_MS, keys.length),
      async ({ caller }) =>
        answers.push(
          await ask(caller, tokens, () => {
            begun += 1;
          }),
        ),
      signal,
    ).finally(() => clearInterval(told));
    await all;
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

export type HeldFacts = {
  readonly streams: number;
  readonly answers: readonly Held[];
  readonly expected: string;
  readonly tokens: number;
  /** Of the Worker's runtime before the first stream; null where the system does not tell. */
  readonly before: number | null;
  /** While all streams flow. */
  readonly plateau: readonly Weighing[];
  readonly late: number;
};

/** Pure. */
export function judgeHeld({ streams, answers, expected, tokens, before, plateau, late }: HeldFacts): Finding[] {
  const broken = answers.filter(({ isWhole }) => !isWhole).length;
  const lost = answers.reduce((sum, { events }) => sum + Math.abs(tokens - events), 0);
  const different = answers.filter(({ text }) => text !== expected).length;
  const after = quantile(bytesOf(plateau), 0.5);
  const each = before === null || after === null ? null : (after - before) / streams;
  const grown = growth(plateau);
  return [
    fact(`${streams} streams: events`, streams * tokens),
    must("  streams that did not come to their end", "0", broken, broken === 0),
    must("  events lost or doubled", "0", lost, lost === 0),
    must("  texts that differ", "0", different, different === 0),
    mustOnTime(
      "  memory of each",
      `<= ${MOST_BYTES / 1_000} kB`,
      each === null ? "not known here" : `${(each / 1_000).toFixed(1)} kB`,
      each !== null && each <= MOST_BYTES,
    ),
    mustOnTime(
      "  growth while they flow",
      `<= ${percent(MOST_GROWTH)}`,
      percent(grown),
      grown !== null && grown <= MOST_GROWTH,
    ),
    fact("  how late this machine ran us, p99", `${late.toFixed(0)} ms`),
  ];
}

function bytesOf(weighings: readonly Weighing[]): number[] {
  return weighings.map(({ bytes }) => bytes);
}
