/** The ladder as a table for a person. Pure. */
import type { Measured } from "./figures.ts";
import type { Rung } from "./rungs.ts";
import { crowd, isCrowded, percent } from "./verdict.ts";

export function tableOf(by: string, rungs: readonly Rung[], { figures, bareUs, noise, waited }: Measured): string {
  const rows = figures.map(({ name, addsUs, ratio, least, most }) => [
    name,
    addsUs.toFixed(0),
    ratio.toFixed(2),
    `[${least.toFixed(2)}-${most.toFixed(2)}]`,
    rungs.find((rung) => rung.name === name)?.adds ?? "",
  ]);
  const head = ["stage", "adds µs", "in all × B", "[least-most]", "what it is"];
  const widths = head.map((title, at) => Math.max(...[head, ...rows].map((row) => (row[at] ?? title).length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (at === 1 || at === 2 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join("  ")
      .trimEnd();
  const ground = `B, bare workerd, takes ${bareUs.toFixed(0)} µs and varied by ${percent(noise)}`;
  const about = `CPU by ${by}. ${ground}${isCrowded(waited) ? `; ${crowd(waited)}` : ""}.`;
  return [about, ...[head, ...rows].map(line)].join("\n");
}
