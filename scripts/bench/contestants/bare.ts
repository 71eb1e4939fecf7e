/** B, the limit of the platform: five lines of Worker in workerd that pass everything on, natively. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { answersOn } from "#scripts/production/answers-on.ts";
import { compatibilityDate, program, version, weighable } from "#scripts/production/workerd.ts";
import { freePort } from "#scripts/stack/ports.ts";
import type { Contestant, Ring, Running } from "./contestant.ts";

const worker = (engine: string): string => `export default {
  fetch(request) {
    return fetch(${JSON.stringify(engine)} + new URL(request.url).pathname, request);
  },
};
`;

const config = (port: number, v8Flags: readonly string[]): string => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = ${JSON.stringify(v8Flags)},
  services = [
    (name = "main", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = ${JSON.stringify(compatibilityDate)},
    )),
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`;

export const bare: Contestant = { name: "bare workerd", start: (ring) => startBareWorkerd(ring, null) };

/** @param inspectorPort where it can be weighed; null where it need not */
export async function startBareWorkerd(ring: Ring, inspectorPort: number | null): Promise<Running> {
  const { supervisor, engine, folder, pinned } = ring;
  const { args: inspector, v8Flags } = weighable(inspectorPort);
  const port = await freePort();
  writeFileSync(join(folder, "worker.js"), worker(engine));
  writeFileSync(join(folder, "bare.capnp"), config(port, v8Flags));
  const args = ["serve", ...inspector, join(folder, "bare.capnp")];
  const part = supervisor.launch(pinned({ name: "bare", command: program, args, cwd: folder }));
  await supervisor.ready(part, READY_LIMIT_MS, () => answersOn(`http://127.0.0.1:${port}/health`));
  const url = `http://127.0.0.1:${port}/v1/chat/completions`;
  return { what: `workerd ${version}, five lines`, url, headers: {}, groups: [part.pid] };
}

const READY_LIMIT_MS = 20_000;
