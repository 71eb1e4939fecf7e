/** What a scenario's callers saw, second by second: the numbers that the picture shows. Pure. */
import { hostOf } from "./ledger.ts";
import type { Played } from "./scenario.ts";
import { quantile } from "./statistics.ts";

export type Series = {
  readonly startedAtMs: number;
  readonly forMs: number;
  readonly stepMs: number;
  /** Whole answers that began there per second, one number for each step. */
  readonly hosts: readonly { readonly name: string; readonly perSecond: readonly number[] }[];
  /** Per second; of the step that they came in. */
  readonly refusedPerSecond: readonly number[];
  readonly failedPerSecond: readonly number[];
  /** Until the first token, or the answer where it comes in one piece. Null where nothing is known of a step. */
  readonly beginsP50Ms: readonly (number | null)[];
  readonly beginsP99Ms: readonly (number | null)[];
  readonly queueWaitP99Ms: readonly (number | null)[];
};

/** Steps that can still be told apart, and no shorter than a second. */
const MOST_STEPS = 120;
const LEAST_STEP_MS = 1_000;

export function seriesOf({ seen, entries }: Pick<Played, "seen" | "entries">): Series {
  const startedAtMs = Math.min(...seen.map(({ sentAtMs }) => sentAtMs));
  const endedAtMs = Math.max(...seen.map(({ sentAtMs, endAfterMs }) => sentAtMs + endAfterMs));
  const forMs = Math.max(LEAST_STEP_MS, endedAtMs - startedAtMs);
  const stepMs = Math.max(LEAST_STEP_MS, forMs / MOST_STEPS);
  const steps = Math.ceil(forMs / stepMs);
  const known = seen.map((one) => {
    const { sentAtMs, firstTokenAfterMs, endAfterMs, requestId, end } = one;
    return {
      step: Math.min(steps - 1, Math.floor((sentAtMs + (firstTokenAfterMs ?? endAfterMs) - startedAtMs) / stepMs)),
      end,
      host: end === "whole" ? hostOf(one, entries) : null,
      beginsAfterMs: firstTokenAfterMs ?? (end === "whole" ? endAfterMs : null),
      queueWaitMs: entries.get(requestId ?? "")?.queueWaitMs ?? null,
    };
  });
  type Known = (typeof known)[number];
  const byStep = Map.groupBy(known, ({ step }) => step);
  const each = <T>(of: (those: readonly Known[]) => T): T[] =>
    Array.from({ length: steps }, (_, step) => of(byStep.get(step) ?? []));
  const rate = (those: readonly Known[]): number => (those.length * 1_000) / stepMs;
  const tail = (part: number, of: (one: Known) => number | null) =>
    each((those) =>
      quantile(
        those.flatMap((one) => of(one) ?? []),
        part,
      ),
    );
  const names = [...new Set(known.flatMap(({ host }) => host ?? []))].sort();
  return {
    startedAtMs,
    forMs,
    stepMs,
    hosts: names.map((name) => ({ name, perSecond: each((those) => rate(those.filter(({ host }) => host === name))) })),
    refusedPerSecond: each((those) => rate(those.filter(({ end }) => end === "refused"))),
    failedPerSecond: each((those) => rate(those.filter(({ end }) => end === "failed"))),
    beginsP50Ms: tail(0.5, ({ beginsAfterMs }) => beginsAfterMs),
    beginsP99Ms: tail(0.99, ({ beginsAfterMs }) => beginsAfterMs),
    queueWaitP99Ms: tail(0.99, ({ queueWaitMs }) => queueWaitMs),
  };
}
