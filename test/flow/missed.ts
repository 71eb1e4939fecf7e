import type { Report } from "#scripts/chaos/play.ts";

/** Findings that do not hold, but for those that a busy machine decides: how fast it is. */
export function missed(reports: readonly Report[]): object[] {
  return reports
    .flatMap(({ name, played }) => played.findings.map((finding) => ({ name, ...finding })))
    .filter(({ holds, timed }) => holds === false && !timed);
}
