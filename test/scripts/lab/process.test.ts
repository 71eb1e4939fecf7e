// The lab as a process: says when it is ready, leaves when told, leaves when its parent dies, names a taken port.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { startLabHost } from "#scripts/lab/host.ts";
import { parseHostOptions } from "#scripts/lab/options.ts";
import { hostFor } from "./asking.ts";

const MAIN = new URL("../../../scripts/lab/main.ts", import.meta.url).pathname;
const DOOR_MAIN = new URL("../../../scripts/lab/door/main.ts", import.meta.url).pathname;
const HOSTS = [
  { id: "gpu", engine: "vllm", models: ["a"] },
  { id: "jetson", engine: "llamacpp", models: ["b"] },
];

function startLab(args: string, stdio: "ipc" | "pipe" | "ignore", main = MAIN): ChildProcess {
  const channels = {
    ipc: ["ignore", "pipe", "pipe", "ipc"],
    pipe: ["pipe", "pipe", "pipe"],
    ignore: ["ignore", "pipe", "pipe"],
  } as const;
  const child = spawn(process.execPath, [main, args], { stdio: [...channels[stdio]] });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

async function firstLine(child: ChildProcess): Promise<string> {
  let text = "";
  for await (const part of child.stdout ?? []) {
    text += String(part);
    if (text.includes("\n")) break;
  }
  return text;
}

async function exitOf(child: ChildProcess): Promise<unknown> {
  const [code] = await once(child, "exit");
  return code;
}

test.each(["SIGTERM", "SIGINT"] as const)("is ready in one JSON line and leaves with 0 on %s", async (signal) => {
  const child = startLab(JSON.stringify(HOSTS), "ignore");
  const { ready } = JSON.parse(await firstLine(child));
  expect(ready.map(({ id }: { id: string }) => id)).toEqual(["gpu", "jetson"]);
  for (const { url } of ready) expect((await fetch(`${url}/health`)).status).toBe(200);
  const exited = exitOf(child);
  child.kill(signal);
  expect(await exited).toBe(0);
});

test("doors are a process of the same manners", async () => {
  const options = { id: "door", origin: "http://127.0.0.1:1", clientId: "c", clientSecret: "s" };
  const child = startLab(JSON.stringify([options]), "ignore", DOOR_MAIN);
  const { ready } = JSON.parse(await firstLine(child));
  const headers = { "cf-access-client-id": "c", "cf-access-client-secret": "s" };
  expect((await fetch(`${ready[0].url}/health`)).status).toBe(403);
  expect((await fetch(`${ready[0].url}/health`, { headers })).status).toBe(502);
  const exited = exitOf(child);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
});

test("leaves when the IPC channel to its parent closes", async () => {
  const child = startLab(JSON.stringify(HOSTS), "ipc");
  await firstLine(child);
  const exited = exitOf(child);
  child.disconnect();
  expect(await exited).toBe(0);
});

test("leaves when its parent's end of a piped stdin closes", async () => {
  const child = startLab(JSON.stringify(HOSTS), "pipe");
  await firstLine(child);
  const exited = exitOf(child);
  child.stdin?.end();
  expect(await exited).toBe(0);
});

test.each([
  ["no argument", "", "JSON"],
  ["no array", "{}", "array"],
  ["an unknown engine", '[{"id":"x","engine":"tgi","models":["a"]}]', '"engine"'],
])("%s: exits 1 and says why", async (_name, args, reason) => {
  const child = startLab(args, "ignore");
  let told = "";
  child.stderr?.on("data", (part) => {
    told += String(part);
  });
  expect(await exitOf(child)).toBe(1);
  expect(told).toContain(reason);
});

test("a taken port rejects with its code and number", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const address = taken.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  const options = parseHostOptions({ ...HOSTS[0], port });
  await expect(startLabHost(options)).rejects.toMatchObject({ code: "EADDRINUSE", port });
});

test("stop frees the port while streams are open", async () => {
  const host = await hostFor({ tokensPerSecond: 10 });
  const body = JSON.stringify({ messages: [{ role: "user", content: "[[tokens=900]]" }], stream: true });
  const response = await fetch(`${host.url}/v1/chat/completions`, { method: "POST", body });
  await host.stop();
  await expect(response.text()).rejects.toThrow();
  await expect(fetch(`${host.url}/health`)).rejects.toThrow();
});
