// `npm start` from outside, whole: what it says, what it writes, and that nothing of it is left when it ends.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeJwt } from "jose";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { PRINCIPALS } from "#scripts/stack/principals.ts";
import { isAlive } from "#scripts/stack/process-table.ts";
import { inRepository } from "#scripts/stack/repository.ts";
import { readStackFile, type StackFile } from "#scripts/stack/stack-file.ts";

const root = mkdtempSync(join(tmpdir(), "causeway-test-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Run = { child: ChildProcess; text: () => string; ended: Promise<number | null> };

function run(script: string, ...args: string[]): Run {
  const child = spawn("node", [inRepository("scripts", "bootstrap.mjs"), `scripts/${script}`, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      text += chunk;
    });
  }
  return { child, text: () => text, ended: new Promise((done) => child.once("close", (code) => done(code))) };
}

async function start(): Promise<{
  run: Run;
  stack: StackFile;
  processes: { name: string; pid: number; startedAt: string }[];
}> {
  const started = run("start.ts", "--port", "0", "--state", root);
  const early = started.ended.then(() => Promise.reject(new Error(started.text())));
  early.catch(() => {});
  while (!started.text().includes("Ctrl-C")) await Promise.race([sleep(50), early]);
  const stack = readStackFile({ root });
  if (stack === null) throw new Error("no stack.json");
  const entry = z.object({ name: z.string(), pid: z.number(), startedAt: z.string() });
  return {
    run: started,
    stack,
    processes: z.array(entry).parse(JSON.parse(readFileSync(join(root, "pids.json"), "utf8"))),
  };
}

async function query(database: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client(database);
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

describe("a running stack", () => {
  let running: Awaited<ReturnType<typeof start>>;
  beforeAll(async () => {
    running = await start();
  });
  afterAll(() => running.run.child.kill("SIGKILL"));

  it("reports its steps in order, then a curl line", () => {
    const steps = ["postgres", "migrations", "issuer", "lab", "worker", "ready", "curl"];
    const found = running.run
      .text()
      .split("\n")
      .map((line) => line.trim().split(" ")[0] ?? "");
    expect(found.filter((word) => steps.includes(word))).toEqual(steps);
  });

  it("names the models that can be asked", () => {
    expect(running.run.text()).toMatch(
      /^Models: llama-3\.1-8b, .*, bge-small-en-v1\.5 \(embeddings\), .*whisper-large-v3 \(transcriptions\)$/m,
    );
  });

  it("writes stack.json for its owner only, with all that the contract names", () => {
    const { stack } = running;
    expect(statSync(join(root, "stack.json")).mode & 0o777).toBe(0o600);
    expect(Object.keys(stack.hosts)).toEqual([
      "gpu",
      "jetson",
      "cpu-mixtral",
      "cpu-hermes",
      "cpu-openchat",
      "cpu-phi3",
    ]);
    expect(stack.audience).toBe("causeway");
    for (const [name, grant] of Object.entries(PRINCIPALS)) {
      const claims = decodeJwt(stack.tokens[name] ?? "");
      expect(claims).toMatchObject({ ...grant, iss: stack.issuer, aud: "causeway", sub: `${name}-user` });
      expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(600);
    }
  });

  it.each(["apiKey", "basic"])("answers a caller with %s", async (who) => {
    const bearer = who === "apiKey" ? running.stack.apiKey : running.stack.tokens[who];
    const response = await fetch(`${running.stack.gateway}/v1/models`, {
      headers: { authorization: `Bearer ${bearer}` },
    });
    expect(response.status).toBe(200);
  });

  it("refuses a second start with the same state folder", async () => {
    const second = run("start.ts", "--port", "0", "--state", root);
    expect(await second.ended).toBe(1);
    expect(second.text()).toContain(`pid ${running.stack.pid}`);
  });

  it.each([
    ["premium", 0, /^eyJ\S+\s*$/],
    ["nobody", 2, /premium/],
  ])("npm run token -- %s exits with %i", async (name, code, printed) => {
    const token = run("token.ts", name, "--state", root);
    expect(await token.ended).toBe(code);
    expect(token.text()).toMatch(printed);
  });

  it("names a part that crashes and ends all others", async () => {
    await query(running.stack.database, "CREATE TABLE kept AS SELECT 42 AS answer");
    const victim = running.processes.find(({ name }) => name === "lab-jetson");
    process.kill(victim?.pid ?? 0, "SIGKILL");
    expect(await running.run.ended).toBe(1);
    expect(running.run.text()).toContain("lab-jetson ended by SIGKILL");
    expect(running.processes.filter(isAlive)).toEqual([]);
    expect(existsSync(join(root, "stack.json"))).toBe(false);
  });
});

it("keeps rows and keys over a restart, and leaves nothing running after SIGTERM", async () => {
  const { run: again, stack, processes } = await start();
  expect(await query(stack.database, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
  expect(processes.map(({ name }) => name).sort()).toEqual([
    "issuer",
    "lab-cpu",
    "lab-gpu",
    "lab-jetson",
    "postgres",
    "worker",
  ]);
  expect(processes.filter(isAlive)).toEqual(processes);
  again.child.kill("SIGTERM");
  expect(await again.ended).toBe(0);
  expect(processes.filter(isAlive)).toEqual([]);
  expect(existsSync(join(root, "stack.json"))).toBe(false);
});

it("token says that nothing runs", async () => {
  const token = run("token.ts", "basic", "--state", join(root, "nowhere"));
  expect(await token.ended).toBe(1);
  expect(token.text()).toContain("npm start");
});
