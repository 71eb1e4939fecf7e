/** `npm test`: every test, in workerd and in Node, and the whole system from outside. Arguments go to vitest. */
import { runSteps, type Step } from "./run-steps.ts";

export const TESTS: Step = { name: "tests", command: ["vitest", "run", "--config", "test/vitest.config.ts"] };

if (import.meta.main) {
  process.exitCode = await runSteps([{ ...TESTS, command: [...TESTS.command, ...process.argv.slice(2)] }]);
}
