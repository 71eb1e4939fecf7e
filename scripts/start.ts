/** `npm start`: the command line around `stack/stack.ts`. Prints, waits for a signal or a crash, and sets the exit code. */
import { join } from "node:path";
import { parseOptions, USAGE } from "./stack/options.ts";
import { PartFailure } from "./stack/part-failure.ts";
import { Refusal } from "./stack/refusal.ts";
import { type RunningStack, startStack } from "./stack/stack.ts";

/** What models are for that do not chat. */
const GOOD_FOR = { embedding: "embeddings", rerank: "rerank", transcription: "transcriptions" };

const stopAsked = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopAsked.abort());
// The bootstrap holds the other end of this channel: if it is killed, nobody is left to pass signals on.
process.on("disconnect", () => stopAsked.abort());
// A closed terminal or pipe must not end us before the parts are ended.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

process.exitCode = await main(process.argv.slice(2));
if (process.connected) process.disconnect();

async function main(args: string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options === null) {
      console.log(USAGE);
      return 0;
    }
    const startedAt = performance.now();
    const running = await startStack(options, { print: console.log, signal: stopAsked.signal });
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    console.log(readyText(running, join(options.stateDir, "stack.json"), seconds));
    const crash = await Promise.race([running.crashed, aborted(stopAsked.signal)]);
    await running.stop();
    if (crash === null) {
      console.log("stopped");
      return 0;
    }
    console.error(`\n${crash.message}\n\nSo everything was stopped.`);
    return 1;
  } catch (error) {
    if (stopAsked.signal.aborted) {
      console.log("stopped");
      return 0;
    }
    if (error instanceof Refusal || error instanceof PartFailure) console.error(`\n${error.message}`);
    else console.error(error);
    return error instanceof Refusal ? error.exitCode : 1;
  }
}

function readyText({ stack, exampleModel, models }: RunningStack, stackFile: string, seconds: string): string {
  const body = { model: exampleModel, stream: true, messages: [{ role: "user", content: "Say hello" }] };
  const curl = `curl -N ${stack.gateway}/v1/chat/completions -H 'authorization: Bearer ${stack.apiKey}' -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
  const lines = [`\nready after ${seconds} s: ${stack.gateway}\n`];
  const names = models.map(({ id, kind }) => (kind === "generation" ? id : `${id} (${GOOD_FOR[kind]})`));
  lines.push(`Models: ${names.join(", ")}\n`);
  if (exampleModel !== null) lines.push(`Try it:\n\n${curl}\n`);
  lines.push(`Tokens and addresses: ${stackFile}. Ctrl-C ends everything.`);
  return lines.join("\n");
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    else signal.addEventListener("abort", () => resolve(null), { once: true });
  });
}
