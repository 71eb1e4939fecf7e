import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { closed, listen } from "#scripts/lab/listen.ts";
import { type RunningStack, startStack } from "#scripts/stack/stack.ts";
import { stackFilePath } from "#scripts/stack/stack-file.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where `stack.ts` asks for the running system of its lane. */
    stacks: string;
  }
}

/**
 * For each lane of the flow tests a running system of its own, so that they need not run one after the other: what
 * `npm start` starts, on free ports, with a state folder of its own. It is started when its lane first asks for it, and
 * told as `stack.json` has it by then, since tokens expire.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = mkdtempSync(join(tmpdir(), "causeway-flow-"));
  const stacks = new Map<string, Promise<RunningStack>>();
  const stackOf = async (lane: string): Promise<string> => {
    const stateDir = join(root, lane);
    const starting = stacks.get(lane) ?? start(stateDir);
    stacks.set(lane, starting);
    await starting;
    return JSON.stringify({ ...JSON.parse(readFileSync(stackFilePath({ root: stateDir }), "utf8")), stateDir });
  };
  const server = createServer((request, response) => {
    stackOf(request.url?.slice(1) ?? "").then(
      (stack) => response.end(stack),
      (trouble: unknown) => response.writeHead(500).end(String(trouble)),
    );
  });
  project.provide("stacks", `http://127.0.0.1:${await listen(server, 0)}`);
  return async () => {
    await closed(server);
    const started = await Promise.allSettled(stacks.values());
    await Promise.all(started.map((one) => (one.status === "fulfilled" ? one.value.stop() : undefined)));
    rmSync(root, { recursive: true, force: true });
  };
}

function start(stateDir: string): Promise<RunningStack> {
  // A caller who leaves a resumable answer for good is waited for half a minute otherwise, and every row for a second more.
  const variables = { RESUME_GRACE_MS: "3000", OUTBOX_SEND_MS: "50" };
  return startStack({ port: 0, stateDir }, { print: console.log, variables, usualPorts: false });
}
