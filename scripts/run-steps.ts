/** Runs commands one after the other, with their output, and stops at the first that fails. */
import { spawn } from "node:child_process";

export type Step = { readonly name: string; readonly command: readonly [string, ...string[]] };

/** @returns the exit code of the first step that failed, or 0 */
export async function runSteps(steps: readonly Step[]): Promise<number> {
  for (const { name, command } of steps) {
    const startedAtMs = Date.now();
    const code = await run(command);
    if (code !== 0) {
      console.error(`${name}: failed (exit code ${code}): ${command.join(" ")}`);
      return code;
    }
    if (steps.length > 1) console.log(`${name}: ok (${((Date.now() - startedAtMs) / 1000).toFixed(1)} s)`);
  }
  return 0;
}

function run([program, ...rest]: readonly [string, ...string[]]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { stdio: "inherit" });
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    process.on("SIGINT", pass).on("SIGTERM", pass);
    child.once("error", reject);
    child.once("close", (code) => {
      process.off("SIGINT", pass).off("SIGTERM", pass);
      resolve(code ?? 1);
    });
  });
}
