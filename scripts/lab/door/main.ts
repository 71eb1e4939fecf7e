// Doors as a process: node scripts/lab/door/main.ts '<JSON array of DoorOptions>'.
import { runAsProcess } from "../as-process.ts";
import { startDoor } from "./door.ts";
import { parseDoorOptions } from "./options.ts";

await runAsProcess("the door", process.argv[2], (options) => startDoor(parseDoorOptions(options)));
