import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startStack } from "#scripts/stack/stack.ts";
import type { StackFile } from "#scripts/stack/stack-file.ts";

declare module "vitest" {
  interface ProvidedContext {
    stack: StackFile & { stateDir: string };
  }
}

/** One running system for all flow tests: what `npm start` starts, on free ports, with a state folder of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stateDir = mkdtempSync(join(tmpdir(), "causeway-flow-"));
  // A caller who leaves a resumable answer for good is waited for half a minute otherwise.
  const variables = { RESUME_GRACE_MS: "3000" };
  const { stack, stop } = await startStack({ port: 0, stateDir }, { print: console.log, variables });
  project.provide("stack", { ...stack, stateDir });
  return async () => {
    await stop();
    rmSync(stateDir, { recursive: true, force: true });
  };
}
