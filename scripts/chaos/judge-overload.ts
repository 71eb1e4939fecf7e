/** What must hold when far more is asked than can be done. Pure. */
import type { Seen } from "./caller.ts";
import { failuresText } from "./failures.ts";
import { count, type Finding, fact, milliseconds, must, mustOnTime, percent } from "./finding.ts";
import type { Strain } from "./machine.ts";
import { jain, partWithin, quantile, sum } from "./statistics.ts";

/** The issue's numbers. */
const LEAST_GOODPUT = 0.9;
const MOST_TTFT = 2;
const REFUSED_WITHIN_MS = 50;
const LEAST_JAIN = 0.95;
const MOST_GROWTH = 0.05;
/** Until the slots are full and those who wait have lined up. */
const LEAD_IN_MS = 5_000;

export type OverloadFacts = {
  readonly seen: readonly Seen[];
  /** What was asked when there was no load. */
  readonly quiet: readonly Seen[];
  /** Of the arrivals. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly callers: number;
  /** The caller who floods. */
  readonly flooder: number;
  /** What the hosts can make. */
  readonly tokensPerS: number;
  /** Of each host, and the most that one had at once. */
  readonly slots: number;
  readonly most: number;
  /** Of the memory, 0.05 for 5 %; null where the system does not tell. */
  readonly growth: number | null;
  readonly strain: Strain;
};

export function judgeOverload(facts: OverloadFacts): Finding[] {
  const { seen, quiet, callers, flooder, slots, most } = facts;
  const of = (end: Seen["end"]): Seen[] => seen.filter((one) => one.end === end);
  const [whole, refused, failed] = [of("whole"), of("refused"), of("failed")];
  const mute = refused.filter(({ retryAfterS }) => retryAfterS === null || !(retryAfterS >= 1));
  const served = Array.from({ length: callers }, (_, caller) => tokensWithin(facts, caller));
  const others = served.filter((_, caller) => caller !== flooder);
  const codes = [...Map.groupBy(refused, ({ status, code }) => `${status} ${code}`)];
  return [
    fact("requests", seen.length),
    fact("  answered; refused", `${count(whole.length)}; ${count(refused.length)}`),
    fact("  refusals", codes.map(([code, those]) => `${those.length} ${code}`).join(", ") || "none"),
    must("  neither answered nor refused with 429 or 503", "0", failuresText(failed), failed.length === 0),
    must("  refused", "> 0", refused.length, refused.length > 0),
    must("  refused without Retry-After", "0", mute.length, mute.length === 0),
    goodputFinding(facts, sum(served)),
    waitFinding(whole, quiet),
    refusalFinding(refused),
    jainFinding("Jain index of tokens served, all callers", served),
    jainFinding("Jain index of tokens served, without the one who floods", others),
    fact("  tokens of the one who floods, and the others' mean", meansText(served[flooder] ?? 0, others)),
    must("most at once on a host", `<= ${slots}`, most, most <= slots),
    growthFinding(facts.growth),
    fact("  the machine meanwhile", strainText(facts.strain)),
  ];
}

/** What a caller was served between lead-in and the last arrival; an answer counts by how much of it lies within. */
function tokensWithin({ seen, startedAtMs, endedAtMs }: OverloadFacts, caller: number): number {
  const parts = seen
    .filter(({ end, question }) => end === "whole" && question.caller === caller)
    .map(({ sentAtMs, firstTokenAfterMs, endAfterMs, completionTokens }) => {
      const from = sentAtMs + (firstTokenAfterMs ?? endAfterMs);
      return completionTokens * partWithin(from, sentAtMs + endAfterMs, startedAtMs + LEAD_IN_MS, endedAtMs);
    });
  return sum(parts);
}

function goodputFinding({ startedAtMs, endedAtMs, tokensPerS }: OverloadFacts, tokens: number): Finding {
  const madePerS = tokens / ((endedAtMs - startedAtMs - LEAD_IN_MS) / 1_000);
  const found = `${percent(madePerS / tokensPerS)} (${madePerS.toFixed(0)} of ${tokensPerS.toFixed(0)} tokens/s)`;
  return mustOnTime(
    "goodput of capacity",
    `>= ${percent(LEAST_GOODPUT)}`,
    found,
    madePerS / tokensPerS >= LEAST_GOODPUT,
  );
}

function waitFinding(admitted: readonly Seen[], quiet: readonly Seen[]): Finding {
  const p99 = (those: readonly Seen[]): number | null =>
    quantile(
      those.flatMap(({ firstTokenAfterMs }) => firstTokenAfterMs ?? []),
      0.99,
    );
  const [loaded, unloaded] = [p99(admitted), p99(quiet)];
  const ratio = loaded === null || unloaded === null ? null : loaded / unloaded;
  const found = `${ratio === null ? "none" : `${ratio.toFixed(2)} x`} (${milliseconds(loaded)}, unloaded ${milliseconds(unloaded)})`;
  return mustOnTime(
    "p99 TTFT of the admitted to the unloaded",
    `<= ${MOST_TTFT} x`,
    found,
    ratio !== null && ratio <= MOST_TTFT,
  );
}

function refusalFinding(refused: readonly Seen[]): Finding {
  const took = refused.flatMap(({ headersAfterMs }) => headersAfterMs ?? []);
  const p99 = quantile(took, 0.99);
  const found = `${milliseconds(p99)} (p50 ${milliseconds(quantile(took, 0.5))})`;
  return mustOnTime("p99 of refusals", `<= ${REFUSED_WITHIN_MS} ms`, found, p99 !== null && p99 <= REFUSED_WITHIN_MS);
}

function jainFinding(what: string, amounts: readonly number[]): Finding {
  const index = jain(amounts);
  return must(what, `>= ${LEAST_JAIN}`, index?.toFixed(3) ?? "none", index !== null && index >= LEAST_JAIN);
}

function meansText(flooder: number, others: readonly number[]): string {
  return `${count(Math.round(flooder))}; ${count(Math.round(sum(others) / others.length))}`;
}

function growthFinding(growth: number | null): Finding {
  const what = "growth of workerd's memory after warm-up";
  if (growth === null) return fact(what, "this system does not tell");
  return mustOnTime(what, `< ${percent(MOST_GROWTH)}`, percent(growth), growth < MOST_GROWTH);
}

function strainText({ lateP99Ms, load, cores }: Strain): string {
  return `load ${load.toFixed(1)} on ${cores} cores; the callers themselves were late by ${milliseconds(lateP99Ms)} at p99`;
}
