/** A storm's findings as a table for a person. */
import type { Finding } from "./judge.ts";
import type { Sky } from "./weather.ts";
import type { Mischief } from "./worker-log.ts";

/** One line for each; at its end whether what must be so is so. What was done to the stack comes first. */
export function tableOf(findings: readonly Finding[], { kills, hostFaults }: Sky, done: Mischief): string {
  const lines = [
    ["kills -9 of the Worker's runtime", String(kills)],
    ["faults given to hosts", String(hostFaults)],
    ["deliveries by the queue, and those made twice", `${done.deliveries}, ${done.duplicates}`],
    ["batches, and those whose consumer died before its acknowledgement", `${done.batches}, ${done.crashes}`],
    ...findings.map(({ what, found, holds }) => [what, `${found}${holds === null ? "" : holds ? "  ok" : "  BROKEN"}`]),
  ];
  const width = Math.max(...lines.map(([what = ""]) => what.length));
  return lines.map(([what = "", found = ""]) => `${what.padEnd(width)}  ${found}`).join("\n");
}
