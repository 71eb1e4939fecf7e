/** Whether the gateway has become dearer than it was when the ladder was recorded. Pure. */
import type { Measured } from "./figures.ts";
import { BARE, belowOf, type Rung, WHOLE } from "./rungs.ts";

/** By how much the whole path may grow over what was recorded, and bare workerd vary without being noise. */
const TOLERANCE = 0.25;
/**
 * Bare workerd's wait for a core, by its time on one. Alone on its core it waits for its own threads only (0.07 measured);
 * where others take the core as well (1 to 2), writes find less to be coalesced with, and the gateway really is dearer.
 */
const CROWDED = 0.5;

export type Verdict =
  | { readonly kind: "held" }
  /** Nothing can be told, because of what else the machine does. */
  | { readonly kind: "noisy"; readonly because: string }
  | { readonly kind: "fell"; readonly was: number; readonly is: number }
  | {
      readonly kind: "grew";
      readonly was: number;
      readonly is: number;
      /** The stage that grew most, and what it adds, by bare workerd. */
      readonly stage: { readonly name: string; readonly was: number; readonly is: number };
    };

/**
 * What noise may have done is not told from growth; what is beyond it is growth also on a busy machine.
 *
 * @param ratios the recorded ones, by rung
 * @throws Error when the recorded ladder has not the rungs of this one
 */
export function verdictOn(
  rungs: readonly Rung[],
  { figures, noise, waited }: Omit<Measured, "bareUs">,
  ratios: Readonly<Record<string, number>>,
): Verdict {
  const then = { ...ratios, [BARE]: 1 };
  const now = { ...Object.fromEntries(figures.map(({ name, ratio }) => [name, ratio])), [BARE]: 1 };
  const [was, is] = [of(then, WHOLE), of(now, WHOLE)];
  const isNoisy = noise > TOLERANCE;
  const doubt = (isNoisy ? 1 + noise : 1) * (isCrowded(waited) ? 1 + waited : 1);
  const isGrowth = is > was * (1 + TOLERANCE) * doubt;
  if (!isGrowth && isNoisy) return { kind: "noisy", because: `bare workerd itself varied by ${percent(noise)}` };
  if (is < was * (1 - TOLERANCE)) return { kind: "fell", was, is };
  if (is <= was * (1 + TOLERANCE)) return { kind: "held" };
  if (!isGrowth) {
    const because = `it grew from ${was.toFixed(2)} to ${is.toFixed(2)} × B, but ${crowd(waited)}`;
    return { kind: "noisy", because };
  }
  // What stands beside the path is no part of the whole.
  const onPath = rungs.filter(({ isBeside }) => isBeside !== true);
  const stages = onPath.map(({ name }) => {
    const below = belowOf(rungs, name);
    return { name, was: of(then, name) - of(then, below), is: of(now, name) - of(now, below) };
  });
  const [stage] = stages.sort((a, b) => b.is - b.was - (a.is - a.was));
  if (stage === undefined) throw new Error("a ladder without rungs");
  return { kind: "grew", was, is, stage };
}

/** One sentence. @param by what the ladder's cost is by */
export function sentenceOf(by: string, verdict: Verdict): string {
  switch (verdict.kind) {
    case "held":
      return `CPU by ${by} has held.`;
    case "noisy":
      return `CPU by ${by}: too noisy, ${verdict.because}.`;
    case "fell":
      return `CPU by ${by} fell from ${verdict.was.toFixed(2)} to ${verdict.is.toFixed(2)} × B: time to record anew, by --record.`;
    case "grew": {
      const { was, is, stage } = verdict;
      return `CPU by ${by} grew from ${was.toFixed(2)} to ${is.toFixed(2)} × B, most of all in ${stage.name}, which added ${stage.was.toFixed(2)} × B and adds ${stage.is.toFixed(2)} now.`;
    }
  }
}

/** Whether others had the core of bare workerd as well. */
export function isCrowded(waited: number): boolean {
  return waited > CROWDED;
}

/** What a crowd on the machine did to bare workerd. */
export function crowd(waited: number): string {
  return `bare workerd waited for a core ${waited.toFixed(1)} times as long as it had one`;
}

export function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

function of(ratios: Readonly<Record<string, number>>, name: string): number {
  const ratio = ratios[name];
  if (ratio === undefined) throw new Error(`the recorded ladder has no rung ${name}: record it anew, by --record`);
  return ratio;
}
