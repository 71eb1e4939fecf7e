/** How far a scenario is, in one line. Pure. */
import type { Seen } from "./caller.ts";

/** What is told of hosts is of the last seconds. */
const RECENT_MS = 5_000;

/** A scenario's line, whatever its state is made of. */
export function progressOf(name: string, startedAtMs: number, nowMs: number, state: string): string {
  return `${String(Math.round((nowMs - startedAtMs) / 1_000)).padStart(5)} s  ${name.padEnd(9)} ${state}`;
}

export function progressLine(
  name: string,
  startedAtMs: number,
  nowMs: number,
  seen: readonly Seen[],
  inFlight: number,
): string {
  const of = (end: Seen["end"]): number => seen.filter((one) => one.end === end).length;
  const recent = seen.filter(({ sentAtMs, endAfterMs }) => sentAtMs + endAfterMs >= nowMs - RECENT_MS);
  const byHost = Map.groupBy(
    recent.flatMap(({ host }) => host ?? []),
    (host) => host,
  );
  const rates = [...byHost]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([host, those]) => `${host} ${((those.length * 1_000) / RECENT_MS).toFixed(1)}/s`);
  return [
    `${String(Math.round((nowMs - startedAtMs) / 1_000)).padStart(5)} s`,
    name.padEnd(8),
    `${of("whole")} answered`,
    `${of("refused")} refused`,
    `${of("failed")} failed`,
    `${inFlight} in flight`,
    ...rates,
  ].join("  ");
}
