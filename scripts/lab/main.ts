// The lab as a process: node scripts/lab/main.ts '<JSON array of LabHostOptions>'.
import { runAsProcess } from "./as-process.ts";
import { startLabHost } from "./host.ts";
import { parseHostOptions } from "./options.ts";

await runAsProcess("the lab", process.argv[2], (options) => startLabHost(parseHostOptions(options)));
