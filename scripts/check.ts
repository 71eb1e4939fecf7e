/** `npm run check`: types, lint, the direction of imports, and the tests. `-- --fast` leaves the tests out. */
import { runSteps } from "./run-steps.ts";
import { TESTS } from "./test.ts";

const fast = process.argv.includes("--fast");
process.exitCode = await runSteps([
  { name: "types of src", command: ["tsc", "-p", "."] },
  { name: "types of scripts", command: ["tsc", "-p", "scripts"] },
  { name: "lint and format", command: ["biome", "check", "--error-on-warnings", "."] },
  { name: "direction of imports", command: ["node", "scripts/check-imports.ts"] },
  ...(fast ? [] : [TESTS]),
]);
