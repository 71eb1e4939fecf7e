// What an isolate of a real workerd holds, once its garbage is collected.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { collected } from "#scripts/chaos/inspector.ts";
import { compatibilityDate, program, weighable } from "#scripts/production/workerd.ts";
import { freePort } from "#scripts/stack/ports.ts";

const MEGABYTE = 1_000_000;
const WORKER = `let kept = [];
export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/keep") kept.push(new Uint8Array(${MEGABYTE}));
    if (pathname === "/drop") kept = [];
    return new Response();
  },
};
`;

const folder = mkdtempSync(join(tmpdir(), "causeway-inspector-"));
let workerd: ChildProcess;
let url = "";
let isolate = "";

beforeAll(async () => {
  const [port, inspectorPort] = [await freePort(), await freePort()];
  const { args, v8Flags } = weighable(inspectorPort);
  writeFileSync(join(folder, "worker.js"), WORKER);
  writeFileSync(
    join(folder, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = ${JSON.stringify(v8Flags)},
  services = [(name = "main", worker = (
    modules = [(name = "worker.js", esModule = embed "worker.js")],
    compatibilityDate = ${JSON.stringify(compatibilityDate)},
  ))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`,
  );
  workerd = spawn(program, ["serve", ...args, join(folder, "config.capnp")], { stdio: "ignore" });
  url = `http://127.0.0.1:${port}`;
  isolate = `ws://127.0.0.1:${inspectorPort}/main`;
  await vi.waitFor(() => fetch(url), { timeout: 20_000, interval: 100 });
});

afterAll(async () => {
  workerd.kill();
  await once(workerd, "exit");
  rmSync(folder, { recursive: true });
});

test("it is what somebody holds, and at once without what nobody does any more", async () => {
  const before = await collected(isolate);
  for (let at = 0; at < 10; at++) await fetch(`${url}/keep`);
  const holding = await collected(isolate);
  await fetch(`${url}/drop`);
  const after = await collected(isolate);
  expect(holding - before).toBeGreaterThan(9.9 * MEGABYTE);
  expect(after - before).toBeLessThan(0.5 * MEGABYTE);
});
