/**
 * `npm run key`: API keys from the command line, by a gateway's `/admin/keys`. A key that was made goes to standard
 * output alone, so that `KEY=$(npm run --silent key -- issue …)` holds it; what is said about it goes to standard error.
 */
import { ask, gatewayOf } from "./gateway/ask.ts";
import { apiKey, askAll, KEY_ADVICE } from "./key/ask.ts";
import { type Command, parseCommand, USAGE } from "./key/command.ts";
import { farewell, keyTable, noteOn } from "./key/show.ts";
import { Refusal } from "./stack/refusal.ts";

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
  if (command.name === "list") {
    const keys = await askAll(gateway, command.request);
    console.log(command.json ? JSON.stringify(keys, null, 2) : keyTable(keys.map((key) => apiKey.parse(key))));
    return;
  }
  const answer = await ask(gateway, command.request, { advice: KEY_ADVICE });
  if (command.json) {
    console.log(JSON.stringify(answer, null, 2));
    return;
  }
  const key = apiKey.parse(answer);
  if (key.key === undefined) {
    console.log(farewell(key));
    return;
  }
  console.log(key.key);
  console.error(noteOn(key));
}
