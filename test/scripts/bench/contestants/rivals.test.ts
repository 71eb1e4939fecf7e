/**
 * The rivals, with stand-ins for the programs that they are: each stand-in reads what the real one reads (arguments, files,
 * variables), listens where that says, and answers with what it was asked. Nothing is fetched.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { answering } from "#scripts/bench/contestants/answering.ts";
import { bifrost } from "#scripts/bench/contestants/bifrost.ts";
import type { Absent, Contestant, Ring, Running } from "#scripts/bench/contestants/contestant.ts";
import { litellm } from "#scripts/bench/contestants/litellm.ts";
import { nginx } from "#scripts/bench/contestants/nginx.ts";
import { onPath } from "#scripts/bench/contestants/on-path.ts";
import { portkey } from "#scripts/bench/contestants/portkey.ts";
import { appOf, portkeyOnWorkerd } from "#scripts/bench/contestants/portkey-workerd.ts";
import { freePort } from "#scripts/stack/ports.ts";
import { membersOf } from "#scripts/stack/process-table.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { Supervisor } from "#scripts/stack/supervisor.ts";

const ENGINE = "http://127.0.0.1:4711";
/** Never among the programs: nothing may be found but what a test has put there. */
const NOWHERE = { PATH: "" };

let root: string;
let bin: string;
let ring: Ring;
let pinned: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "causeway-test-"));
  bin = join(root, "bin");
  mkdirSync(bin);
  pinned = [];
  ring = {
    supervisor: new Supervisor(openStateDir(join(root, "state"))),
    engine: ENGINE,
    kept: join(root, "kept"),
    folder: mkdtempSync(join(root, "run-")),
    pinned: (spec) => {
      pinned.push(spec.name);
      return spec;
    },
    print: () => {},
    signal: new AbortController().signal,
  };
});
afterEach(async () => {
  await ring.supervisor.stopAll();
  rmSync(root, { recursive: true, force: true });
});

/** Puts a program on the PATH of the test. */
function program(name: string, source: string): NodeJS.ProcessEnv {
  writeFileSync(join(bin, name), source);
  chmodSync(join(bin, name), 0o755);
  return { PATH: bin };
}

const asNode = (source: string) => `#!${process.execPath}\n${source}`;
const asShell = (source: string) => `#!/bin/sh\n${source}\n`;

/** Listens as `settings` (JavaScript: { port, host, told }) says; answers with `told`, its address and its question. */
const server = (settings: string) => `
const { createServer } = require("node:http");
const { readFileSync, statSync } = require("node:fs");
const after = (flag) => process.argv[process.argv.indexOf(flag) + 1];
const { port, host, told = {}, refuses = () => false } = ${settings};
const server = createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part)).on("end", () => {
    response.statusCode = refuses(request) ? 401 : 200;
    response.setHeader("content-type", "application/json");
    const { url, headers } = request;
    response.end(JSON.stringify({ choices: [], told, url, headers, address: server.address().address, body }));
  });
});
host === undefined ? server.listen(port, undefined, () => {}) : server.listen(port, host);
`;

/** Starts it, which must succeed, and asks it once more. */
async function asked(contestant: Contestant): Promise<{ running: Running; answer: unknown }> {
  const running = await contestant.start(ring);
  if ("absent" in running) throw new Error(running.absent);
  const response = await fetch(running.url, { method: "POST", headers: running.headers, body: "{}" });
  expect(response.status).toBe(200);
  expect(running.groups.map((group) => membersOf(group).includes(group))).toEqual([true]);
  return { running, answer: await response.json() };
}

describe("without the program that it needs, each says so and starts nothing", () => {
  it.each<[string, (env: NodeJS.ProcessEnv) => Contestant, RegExp]>([
    ["nginx", (env) => nginx(env, []), /nginx is not installed/],
    ["Portkey on Node", portkey, /npm/],
    ["Portkey on workerd", portkeyOnWorkerd, /npm/],
    ["LiteLLM", litellm, /python3/],
    ["Bifrost", bifrost, /bifrost-http nor go/],
  ])("%s", async (name, of, why) => {
    const contestant = of(NOWHERE);
    expect(contestant.name).toBe(name);
    expect(await contestant.start(ring)).toEqual({ absent: expect.stringMatching(why) });
    expect(readdirSync(join(root, "state", "logs"))).toEqual([]);
  });
});

it("takes no folder and no text that may not be run for a program", () => {
  const later = join(root, "later");
  for (const name of ["folder", "text"]) mkdirSync(join(later, name), { recursive: true });
  mkdirSync(join(bin, "folder"));
  writeFileSync(join(bin, "text"), "no program");
  chmodSync(join(bin, "text"), 0o644);
  const env = program("run", asShell("exit 0"));
  expect(["folder", "text", "run"].map((name) => onPath(name, env, [later]))).toEqual([null, null, join(bin, "run")]);
  expect(onPath("run", NOWHERE, [later, bin])).toBe(join(bin, "run"));
});

describe("what cannot be fetched makes its contestant absent, with the client's own word", () => {
  const failing = (words: string) => asShell(`echo "${words}" >&2; exit 1`);
  it.each<[string, string, string, (env: NodeJS.ProcessEnv) => Contestant]>([
    ["Portkey on Node", "npm", "npm error code ENOTFOUND", portkey],
    ["Portkey on workerd", "npm", "npm error code ENOTFOUND", portkeyOnWorkerd],
    ["LiteLLM", "python3", "Error: ensurepip is not available", litellm],
    ["Bifrost", "go", "go: reading it: 404 Not Found", bifrost],
  ])("%s", async (_, client, words, of) => {
    const absent = await of(program(client, failing(words))).start(ring);
    expect(absent).toEqual({ absent: expect.stringMatching(/@|==/) });
    expect((absent as Absent).absent.endsWith(`cannot be fetched: ${words}`)).toBe(true);
  });
});

it("nginx is told the engine and a port of the loopback, in one process that buffers no answer", async () => {
  const env = program(
    "nginx",
    asNode(`
if (process.argv.includes("-v")) { console.error("nginx version: nginx/1.99.3 (Some)"); process.exit(0); }
${server(`(() => {
  const config = readFileSync(after("-c"), "utf8");
  const [, host, port] = /listen (\\S+):(\\d+);/.exec(config);
  return { host, port: Number(port), told: { config, folder: statSync(after("-p")).isDirectory() } };
})()`)}`),
  );
  const { running, answer } = await asked(nginx(env, []));
  expect(running).toMatchObject({ what: "nginx 1.99.3", headers: {} });
  expect(new URL(running.url).hostname).toBe("127.0.0.1");
  expect(answer).toMatchObject({ url: "/v1/chat/completions", address: "127.0.0.1", told: { folder: true } });
  const { config } = (answer as { told: { config: string } }).told;
  for (const line of ["daemon off;", "master_process off;", "access_log off;", "proxy_buffering off;"]) {
    expect(config).toContain(line);
  }
  expect(config).toContain(`server ${new URL(ENGINE).host};\n    keepalive `);
  expect(pinned).toEqual(["nginx"]);
});

it("Portkey is fetched once in exact versions, asked by headers, and kept off other interfaces", async () => {
  const build = server(`{
  port: Number(process.argv.find((text) => text.startsWith("--port=")).slice(7)),
  told: { args: process.argv.slice(2), production: process.env.NODE_ENV },
}`);
  const env = program(
    "npm",
    asNode(`
const { appendFileSync, mkdirSync, writeFileSync } = require("node:fs");
const folder = process.argv[process.argv.indexOf("--prefix") + 1] + "/node_modules/@portkey-ai/gateway/build";
appendFileSync(${JSON.stringify(join(root, "npm-runs"))}, process.argv.slice(2).join(" ") + "\\n");
mkdirSync(folder, { recursive: true });
writeFileSync(folder + "/start-server.js", ${JSON.stringify(build)});`),
  );
  const { running, answer } = await asked(portkey(env));
  expect(running.what).toMatch(/^Portkey \d+\.\d+\.\d+ on Node \d/);
  expect(answer).toMatchObject({
    url: "/v1/chat/completions",
    address: "127.0.0.1",
    headers: { "x-portkey-provider": "openai", "x-portkey-custom-host": `${ENGINE}/v1` },
    told: { args: ["--headless", `--port=${new URL(running.url).port}`], production: "production" },
  });
  const { dependencies } = JSON.parse(readFileSync(join(root, "kept", "portkey", "package.json"), "utf8"));
  expect(Object.values(dependencies).every((version) => /^\d+\.\d+\.\d+$/.test(String(version)))).toBe(true);
  await ring.supervisor.end("portkey", "ask");
  // The other contestant takes the same package, and this build is not one that it knows.
  expect(await portkeyOnWorkerd(env).start(ring)).toEqual({ absent: expect.stringContaining("not what it was") });
  const runs = readFileSync(join(root, "npm-runs"), "utf8").trim().split("\n");
  expect(runs).toEqual([expect.stringMatching(/^install .*--ignore-scripts/)]);
});

it("LiteLLM is fetched into an environment of its own and takes our key alone, and nobody's database", async () => {
  const proxy = asNode(
    server(`(() => {
  const { model_list: models } = JSON.parse(readFileSync(after("--config"), "utf8"));
  const key = process.env.LITELLM_MASTER_KEY;
  const { DATABASE_URL = null } = process.env;
  return {
    port: Number(after("--port")), host: after("--host"),
    told: { models, workers: after("--num_workers"), telemetry: after("--telemetry"), DATABASE_URL },
    refuses: (request) => request.headers.authorization !== "Bearer " + key,
  };
})()`),
  );
  const pip = asNode(`
const { appendFileSync, chmodSync, writeFileSync } = require("node:fs");
appendFileSync(${JSON.stringify(join(root, "pip-runs"))}, process.argv.at(-1) + "\\n");
const program = require("node:path").join(__dirname, "litellm");
writeFileSync(program, ${JSON.stringify(proxy)});
chmodSync(program, 0o755);`);
  const env = program(
    "python3",
    asNode(`
const { chmodSync, mkdirSync, writeFileSync } = require("node:fs");
if (process.argv.slice(2).join(" ") !== "-m venv venv") process.exit(1);
mkdirSync("venv/bin", { recursive: true });
writeFileSync("venv/bin/pip", ${JSON.stringify(pip)});
chmodSync("venv/bin/pip", 0o755);`),
  );
  process.env.DATABASE_URL = "postgresql://somebody";
  try {
    const { running, answer } = await asked(litellm(env));
    const litellmParams = { model: "openai/bench", api_base: `${ENGINE}/v1`, api_key: expect.any(String) };
    expect(answer).toMatchObject({
      address: "127.0.0.1",
      told: { workers: "1", telemetry: "False", DATABASE_URL: null },
    });
    expect(answer).toHaveProperty("told.models", [{ model_name: "bench", litellm_params: litellmParams }]);
    expect(running.what).toMatch(/^LiteLLM \d+\.\d+\.\d+$/);
    await ring.supervisor.end("litellm", "ask");
    await asked(litellm(env));
  } finally {
    delete process.env.DATABASE_URL;
  }
  const wanted = readFileSync(join(root, "pip-runs"), "utf8").trim().split("\n");
  expect(wanted).toEqual([expect.stringMatching(/^litellm\[proxy\]==\d+\.\d+\.\d+$/)]);
});

describe("Bifrost", () => {
  const source = asNode(
    server(`(() => {
  const config = JSON.parse(readFileSync(after("-app-dir") + "/config.json", "utf8"));
  return { port: Number(after("-port")), host: after("-host"), told: config };
})()`),
  );
  const told = {
    providers: { openai: { network_config: { base_url: ENGINE }, keys: [{ models: ["bench"] }] } },
    config_store: { enabled: false },
    logs_store: { enabled: false },
  };

  it("is the installed one, where there is one", async () => {
    const env = program("bifrost-http", source);
    program("go", asShell("exit 1"));
    const { running, answer } = await asked(bifrost(env));
    expect(running.what).toBe("Bifrost as installed");
    expect(answer).toMatchObject({ url: "/openai/v1/chat/completions", address: "127.0.0.1", told });
  });

  it("is else built by Go, in an exact version", async () => {
    const env = program(
      "go",
      asNode(`
const { chmodSync, writeFileSync } = require("node:fs");
if (process.argv[2] !== "install" || !/@v\\d+\\.\\d+\\.\\d+$/.test(process.argv[3])) process.exit(1);
writeFileSync(process.env.GOBIN + "/bifrost-http", ${JSON.stringify(source)});
chmodSync(process.env.GOBIN + "/bifrost-http", 0o755);`),
    );
    const { running, answer } = await asked(bifrost(env));
    expect(running.what).toMatch(/^Bifrost v\d+\.\d+\.\d+$/);
    expect(answer).toMatchObject({ told });
  });

  it("is absent when what is installed does not want to run", async () => {
    const env = program("bifrost-http", asShell('echo "failed to read the configuration"; exit 1'));
    expect(await bifrost(env).start(ring)).toEqual({
      absent: "Bifrost as installed does not start: failed to read the configuration",
    });
    // The others go on: the stack has not crashed.
    expect(await Promise.race([ring.supervisor.crashed, Promise.resolve("none")])).toBe("none");
  });
});

it("is absent when it runs and never answers as the engine does, and then nothing of it runs", async () => {
  const source = server('{ port: Number(after("-port")), host: "127.0.0.1", refuses: () => true }');
  const env = program("mute", asNode(source));
  const port = await freePort();
  const spec = { name: "mute", command: join(env.PATH ?? "", "mute"), args: ["-port", String(port)], cwd: root };
  const where = { what: "Mute 1.0", url: `http://127.0.0.1:${port}/`, headers: {} };
  expect(await answering(ring, spec, where, 500)).toEqual({
    absent: expect.stringMatching(/^Mute 1\.0 does not start/),
  });
  expect(() => ring.supervisor.part("mute")).toThrow();
});

describe("the app in Portkey's build", () => {
  const build = [
    "#!/usr/bin/env node",
    'import{serve as e}from"@hono/node-server";import{Hono as t}from"hono";import w from"ws";const L=new t;L.get("/",w);',
    "const F=process.argv.slice(2),K=8787;const{injectWebSocket:G}=k({app:L});G(e({fetch:L.fetch,port:K})),console.clear();",
  ].join("\n");

  it("is exported, without the server for Node and what only that imports", () => {
    expect(appOf(build)).toBe('import{Hono as t}from"hono";const L=new t;L.get("/",w);\n;export default L;');
  });

  it.each([
    ["no arguments are read", build.replace("process.argv.slice(2)", "[]")],
    ["nothing is served", build.replace("fetch:", "handle:")],
  ])("is not guessed at when %s", (_, other) => {
    expect(appOf(other)).toBeNull();
  });
});
