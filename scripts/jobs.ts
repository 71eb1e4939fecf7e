/** `npm run jobs`: batch jobs from the command line, by a gateway's `/admin/jobs`. */
import { ask, gatewayOf } from "./gateway/ask.ts";
import { type Command, parseCommand, USAGE } from "./jobs/command.ts";
import { jobList, jobRun, jobTable, runText } from "./jobs/show.ts";
import { Refusal } from "./stack/refusal.ts";

/** The gateway's own bound for a run is twelve minutes. */
const RUN_WITHIN_MS = 13 * 60_000;
const ADVICE = {
  job_not_found: "What each one does is in: npm run jobs",
  job_running: "Wait a moment and give the same command again.",
};

try {
  const command = parseCommand(process.argv.slice(2));
  if (command === null) console.log(USAGE);
  else await run(command);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof Refusal ? error.exitCode : 1;
}

async function run(command: Command): Promise<void> {
  const gateway = await gatewayOf(command, process.env);
  const withinMs = command.name === null ? {} : { withinMs: RUN_WITHIN_MS };
  const answer = await ask(gateway, command.request, { advice: ADVICE, ...withinMs });
  if (command.json) console.log(JSON.stringify(answer, null, 2));
  else console.log(command.name === null ? jobTable(jobList.parse(answer)) : runText(jobRun.parse(answer)));
}
