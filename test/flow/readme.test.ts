import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { parseCatalog } from "#src/catalog/schema.ts";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { ask, rowOf } from "./world.ts";

const run = promisify(execFile);
const root = new URL("../..", import.meta.url).pathname;
const readme = readFileSync(join(root, "README.md"), "utf8");
const scratch = mkdtempSync(join(tmpdir(), "causeway-readme-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const blocks = (language: string): string[] =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map(([, text = ""]) =>
    text.trim(),
  );
const [catalog = "", ...additions] = blocks("json");

/** The README's text, on another port and state folder than a developer's own stack. */
const elsewhere = (command: string): string =>
  command
    .replaceAll("http://127.0.0.1:8787", stack.gateway)
    .replace(/npm run --silent token -- \w+/, (token) => `${token} --state ${stack.stateDir}`)
    .replace("npm run key --", `npm run --silent key -- --state ${stack.stateDir}`)
    .replace(/^npm run jobs( --)?/, `npm run --silent jobs -- --state ${stack.stateDir}`);

/** The same, with a key that there is in the place of the README's. */
async function onRealKey(command: string): Promise<string> {
  const issue = "npm run key -- issue --owner readme --scopes models --label readme --json";
  const { stdout } = await run("bash", ["-c", elsewhere(issue)], { cwd: root });
  return elsewhere(command.replace(/\bkey_\w+/, JSON.parse(stdout).id));
}

/** The same, with a request of the README's user that is in the ledger in the place of the README's. */
async function onRealRequest(command: string): Promise<string> {
  const messages = [{ role: "user", content: "readme [[tokens=2]]" }];
  const body = JSON.stringify({ model: "phi-3-mini", messages });
  const response = await ask("/v1/chat/completions", { method: "POST", as: "default", body });
  await response.arrayBuffer();
  const { id } = await rowOf(response.headers.get("x-request-id") ?? "");
  return elsewhere(command.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, id));
}

/** What a job's command prints; undefined while another job runs, since the cron has its own. */
async function onceJobsRest(command: string): Promise<string | undefined> {
  try {
    return (await run("bash", ["-c", elsewhere(command)], { cwd: root })).stdout;
  } catch (reason) {
    if (String(reason).includes("A job is running")) return undefined;
    throw reason;
  }
}

/** Starts a stack by a command of the README, and ends it. Returns what it printed. */
async function started(command: string, state: string): Promise<{ printed: string; pasted: string }> {
  const flags = `${command.includes(" -- ") ? "" : " --"} --port 0 --state ${state}`;
  const child = spawn("bash", ["-c", `${command}${flags}`], { cwd: root });
  let printed = "";
  const closed = new Promise((resolve) => child.once("close", resolve));
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (data) => {
      printed += data;
      if (printed.includes("stack.json")) resolve();
    });
    child.stderr.on("data", (data) => {
      printed += data;
    });
    child.once("close", () => reject(new Error(`it ended before it was ready:\n${printed}`)));
  });
  await ready;
  const curl = printed.split("\n").find((line) => line.startsWith("curl "));
  const pasted = command === "npm start" && curl !== undefined ? (await run("bash", ["-c", `${curl} -sS`])).stdout : "";
  process.kill(JSON.parse(readFileSync(join(state, "stack.json"), "utf8")).pid, "SIGTERM");
  await closed;
  return { printed, pasted };
}

describe("every command of the README", () => {
  test.each(blocks("sh"))("%s", async (command) => {
    if (command === "npm test") {
      // What runs this very test; that CI runs it by this name is all there is to see.
      expect(readFileSync(join(root, ".ci/run"), "utf8")).toMatch(/^npm test\b/m);
    } else if (command === "npm start") {
      const { printed, pasted } = await started(command, join(scratch, "start"));
      expect(printed).toMatch(/^ready /m);
      expect(pasted).toMatch(/^data: \{/);
      expect(pasted).toMatch(/data: \[DONE\]\s*$/);
    } else if (command.includes("--catalog")) {
      const file = join(scratch, "my-catalog.json");
      writeFileSync(file, catalog);
      const { printed } = await started(command.replace("my-catalog.json", file), join(scratch, "own"));
      expect(printed).toMatch(/^ready /m);
    } else if (command.startsWith("npm run jobs")) {
      const stdout = await eventually(() => onceJobsRest(command), "there was always a job running", 40_000);
      expect(stdout).toMatch(command.includes(" -- ") ? /: done in / : /^JOB +LAST PERIOD/);
    } else if (command.startsWith("npm run key")) {
      const { stdout } = await run("bash", ["-c", await onRealKey(command)], { cwd: root });
      if (/-- (issue|rotate)/.test(command)) expect(stdout).toMatch(/^cw_[\w-]{48}\n$/);
      else expect(stdout).toMatch(/^key_|^ID +OWNER/);
    } else if (command.includes("/v1/feedback")) {
      const { stdout } = await run("bash", ["-c", await onRealRequest(command)], { cwd: root });
      expect(JSON.parse(stdout)).toMatchObject({ object: "feedback", satisfaction: 9 });
    } else {
      const { stdout } = await run("bash", ["-c", elsewhere(command)], { cwd: root });
      if (command.includes("/v1/chat")) expect(stdout).toMatch(/data: \[DONE\]\s*$/);
      else if (command.includes("/v1/messages")) expect(JSON.parse(stdout)).toMatchObject({ type: "message" });
      else if (command.startsWith("npm run tunnel")) expect(stdout).toContain("gpu.yml: ok");
      else if (command.includes("/v1/usage")) expect(JSON.parse(stdout)).toMatchObject({ object: "list" });
      else if (command.includes("/admin/usage")) expect(stdout).toMatch(/^account,model,requests,/);
      else if (command.includes("/admin/fleet/")) {
        expect(JSON.parse(stdout)).toMatchObject({ host: "jetson", draining: true });
        // Others use this stack too.
        await run("bash", ["-c", elsewhere(command.replace('"drain"', '"undrain"'))], { cwd: root });
      } else if (command.includes("/admin/fleet")) expect(JSON.parse(stdout).hosts).toHaveLength(6);
      else if (command.includes("/health")) expect(JSON.parse(stdout)).toHaveProperty("status");
      else expect(stdout).toContain("--catalog");
    }
  });
});

test("the catalog of the README is valid, alone and with all that may be added to it", () => {
  expect(additions).toHaveLength(3);
  const whole = Object.assign(JSON.parse(catalog), ...additions.map((addition) => JSON.parse(addition)));
  for (const json of [JSON.parse(catalog), whole]) expect(parseCatalog(json)).toMatchObject({ kind: "valid" });
});
