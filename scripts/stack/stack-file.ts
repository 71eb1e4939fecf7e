/** `stack.json`: what other programs need to know to use a running stack. It is there while the stack is ready. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readJson, type StateDir, writeAtomic } from "./state-dir.ts";

const stackFile = z.object({
  gateway: z.string(),
  issuer: z.string(),
  audience: z.string(),
  database: z.string(),
  /** Access token by principal; empty when the issuer is not ours. They are renewed well before they expire. */
  tokens: z.record(z.string(), z.string()),
  apiKey: z.string(),
  /** Base URL by lab host; empty without the lab. */
  hosts: z.record(z.string(), z.string()),
  /** The process to send SIGTERM to. */
  pid: z.number().int(),
});
export type StackFile = z.infer<typeof stackFile>;

export function stackFilePath(state: Pick<StateDir, "root">): string {
  return join(state.root, "stack.json");
}

export function writeStackFile(state: StateDir, stack: StackFile): void {
  writeAtomic(stackFilePath(state), `${JSON.stringify(stack, null, 2)}\n`);
}

/** The running stack, or null when there is no readable file. That it is there does not prove that the stack lives. */
export function readStackFile(state: Pick<StateDir, "root">): StackFile | null {
  const parsed = stackFile.safeParse(readJson(stackFilePath(state)));
  return parsed.success ? parsed.data : null;
}

export function removeStackFile(state: StateDir): void {
  rmSync(stackFilePath(state), { force: true });
}
