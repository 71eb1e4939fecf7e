/** The findings of a run as a table for a person: what, its goal, its figure, and whether it holds. Pure. */
import type { Finding } from "./finding.ts";
import type { Report } from "./play.ts";

export function tableOf(reports: readonly Report[]): string {
  const findings = reports.flatMap(({ played }) => played.findings);
  const what = widest(findings.map((finding) => finding.what));
  const goal = widest(findings.map((finding) => finding.goal));
  return reports
    .map(({ name, played }) => {
      const lines = played.findings.map(
        (finding) =>
          `  ${finding.what.padEnd(what)}  ${finding.goal.padEnd(goal)}  ${finding.found}${verdict(finding)}`,
      );
      return [`${name}: ${played.setting}`, ...lines].join("\n");
    })
    .join("\n\n");
}

function verdict({ holds }: Finding): string {
  return holds === null ? "" : holds ? "  ok" : "  BROKEN";
}

function widest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map(({ length }) => length));
}
