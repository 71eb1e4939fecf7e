/** The part of BENCH.md that a run writes, between two marks; the rest is written by people. Pure. */
import { Refusal } from "#scripts/stack/refusal.ts";
import { judged } from "./goals.ts";
import type { BenchRun } from "./run.ts";
import { asMarkdown, goalsTable, plain, tableOf } from "./table.ts";

export const BEGIN = "<!-- measured: `npm run bench -- --write` replaces what is between these marks -->";
export const END = "<!-- /measured -->";

/** @param picture path of the picture, as seen from the file */
export function sectionOf(run: BenchRun, picture: string): string {
  const { startedAt, command, machine, isPinned, rounds, scenarios, entrants, measured } = run;
  const there = entrants.flatMap((entrant) => ("what" in entrant ? `- ${entrant.name}: ${plain(entrant.what)}` : []));
  // Only the first clause: after it come an installer's own words, and those are of the machine that it ran on.
  const absent = entrants.flatMap((entrant) =>
    "absent" in entrant ? `- ${entrant.name} is not in it: ${plain(entrant.absent.split(": ")[0] ?? "")}` : [],
  );
  const cores = isPinned ? "engine and load held to one core, contestants to another" : "no core held for anybody";
  return [
    `Measured at ${startedAt} by`,
    `    ${command}`,
    `on ${machine.cores} cores of ${plain(machine.cpu)} (${cores}), ${plain(machine.kernel)}, Node ${machine.node}, workerd ${machine.workerd}, the objects' storage on ${machine.disk}.`,
    `Medians of ${rounds} rounds, in square brackets the least and the most of them. B is bare workerd in the same round; what is added is added to the engine's own time in the same round. CPU is that of a contestant's own processes, by the kernel's accounting.`,
    [...there, ...absent].join("\n"),
    `![CPU per request and per event, as times of bare workerd](${picture})`,
    asMarkdown(goalsTable(judged(measured))),
    ...scenarios.map((scenario) => asMarkdown(tableOf(measured, scenario))),
    LIMITS,
  ].join("\n\n");
}

const LIMITS = `### What these figures are not

- They are of one machine's loopback: no network, no TLS, and an engine that thinks of nothing.
- KV, the queue and the rate limiter are small stand-ins of our own (\`scripts/production/platform/\`), since workerd alone has none of them; Cloudflare's cost something else. Objects and their storage are workerd's own, on the disk named above.
- Postgres is not counted, and neither is what Cloudflare does around a Worker.
- Times, unlike CPU, depend on what else a machine does meanwhile, and at saturation on who else waits; p99 is reported and decides nothing.
- The contestants do not do the same. nginx and bare workerd look at nothing and keep nothing, Portkey checks no caller, LiteLLM checks one key and has no database here; Causeway does everything that it has. Portkey on workerd is the app of its npm package, without the server for Node that is built around it.`;

/**
 * Puts a section into the file's text.
 *
 * @param text null where there is no file yet
 * @throws Refusal (exit code 1) when the marks are not as they must be
 */
export function withSection(text: string | null, section: string): string {
  const marked = `${BEGIN}\n\n${section}\n\n${END}`;
  if (text === null) return `# How fast\n\n${marked}\n`;
  const begins = text.split(BEGIN).length - 1;
  const ends = text.split(END).length - 1;
  if (begins === 0 && ends === 0) return `${text.trimEnd()}\n\n${marked}\n`;
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begins !== 1 || ends !== 1 || to < from)
    throw new Refusal(1, `BENCH.md must have ${BEGIN} once, and ${END} once after it.`);
  return text.slice(0, from) + marked + text.slice(to + END.length);
}
