/** What must hold of answers that their callers leave. Pure. */
import { type Finding, fact, milliseconds, must, mustOnTime } from "../finding.ts";
import { quantile } from "../statistics.ts";
import type { Abandoned } from "./abandon.ts";
import type { Generation, Strike } from "./lab-host.ts";

/** What a caller leaves in the midst of. */
export const WAYS = ["flowing", "silent", "mute", "line", "moving"] as const;
export type Way = (typeof WAYS)[number];

/** What a caller's leaving may take; a heartbeat is `HEARTBEAT_MS` in src/upstream/heartbeat.ts. */
const FLOWING_WITHIN_MS = 300;
const HEARTBEAT_MS = 2_000;

export type Left = Abandoned & { readonly way: Way };

export type Leavings = {
  readonly left: readonly Left[];
  readonly generations: readonly Generation[];
  readonly strikes: readonly Strike[];
  /** Connections to hosts with a question on them, five seconds after the last has left. */
  readonly open: number;
  /** In the ledger. */
  readonly rows: number;
};

export function judgeLeaving({ left, generations, strikes, open, rows }: Leavings): Finding[] {
  const endOf = new Map(generations.map(({ requestId, endedAtMs }) => [requestId, endedAtMs]));
  const closeOf = new Map(strikes.map(({ requestId, closedAtMs }) => [requestId, closedAtMs]));
  const after = (way: Way, ends: ReadonlyMap<string | null, number | null>): number[] =>
    left.flatMap((one) => {
      const endedAtMs = ends.get(one.requestId) ?? null;
      const isKnown = one.way === way && one.requestId !== null && one.leftAtMs !== null && endedAtMs !== null;
      return isKnown ? [endedAtMs - (one.leftAtMs ?? 0)] : [];
    });
  const flowing = after("flowing", endOf);
  const silent = after("silent", closeOf);
  const stayed = left.filter(({ leftAtMs }) => leftAtMs === null);
  // One that moves may meet a second fault, and be over by an error in good time.
  const unexpected = stayed.filter(({ way }) => way !== "moving");
  const late = (what: string, times: readonly number[], withinMs: number): Finding => {
    const p99 = quantile(times, 0.99);
    const found = `${milliseconds(p99)} of ${times.length}, p50 ${milliseconds(quantile(times, 0.5))}`;
    return mustOnTime(what, `<= ${withinMs} ms`, found, p99 !== null && p99 <= withinMs);
  };
  return [
    fact("streams abandoned", left.length - stayed.length),
    fact("  of them", WAYS.map((way) => `${left.filter((one) => one.way === way).length} ${way}`).join(", ")),
    must("answers that were over before their caller left", "0", stayedText(unexpected), unexpected.length === 0),
    late("while tokens flow, the host is left, p99", flowing, FLOWING_WITHIN_MS),
    late("while it is silent, the host is left, p99", silent, HEARTBEAT_MS + FLOWING_WITHIN_MS),
    must("connections to hosts 5 s later", "0", open, open === 0),
    must("rows in the ledger", `= ${left.length}`, rows, rows === left.length),
  ];
}

function stayedText(stayed: readonly Left[]): string {
  const kinds = [...Map.groupBy(stayed, ({ way, status }) => `${way} ${status}`)];
  return stayed.length === 0
    ? "0"
    : `${stayed.length} (${kinds.map(([kind, { length }]) => `${length} ${kind}`).join(", ")})`;
}
