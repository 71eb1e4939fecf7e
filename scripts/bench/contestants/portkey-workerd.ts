/**
 * Portkey's gateway on workerd. The gateway is a Hono app made for Workers, but its package has only the build for Node:
 * that app, followed by the lines that open a Node server for it. We leave those out, export the app, and let wrangler
 * make a Worker of it.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { execPath } from "node:process";
import { PartFailure } from "#scripts/stack/part-failure.ts";
import { freePort } from "#scripts/stack/ports.ts";
import { inRepository } from "#scripts/stack/repository.ts";
import { writeAtomic } from "#scripts/stack/state-dir.ts";
import { answering } from "./answering.ts";
import type { Absent, Contestant, Ring } from "./contestant.ts";
import { PORTKEY_VERSION, portkeyHeaders, portkeyPackage } from "./portkey-package.ts";
import { tellingLine } from "./telling-line.ts";

/** As in its own wrangler.toml, and so are the bindings below. */
const COMPATIBILITY_DATE = "2024-12-05";

/** @param env where PATH is taken from */
export function portkeyOnWorkerd(env: NodeJS.ProcessEnv): Contestant {
  return {
    name: "Portkey on workerd",
    start: async (ring) => {
      const fetched = await portkeyPackage(ring, env);
      if (typeof fetched !== "string") return fetched;
      const built = await bundled(ring, fetched);
      if (typeof built !== "string") return built;
      const port = await freePort();
      const config = join(built, "portkey.capnp");
      writeAtomic(config, workerdConfig(port));
      const command = inRepository("node_modules", "workerd", "bin", "workerd");
      return answering(
        ring,
        { name: "portkey-workerd", command, args: ["serve", config], cwd: built },
        {
          what: `Portkey ${PORTKEY_VERSION} on workerd`,
          url: `http://127.0.0.1:${port}/v1/chat/completions`,
          headers: portkeyHeaders(ring.engine),
        },
      );
    },
  };
}

/** @returns the folder in which `worker.js` is the whole Worker, or why it could not be made */
async function bundled(ring: Ring, fetched: string): Promise<string | Absent> {
  const build = readFileSync(
    join(fetched, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js"),
    "utf8",
  );
  const app = appOf(build);
  if (app === null) return { absent: `the build of Portkey ${PORTKEY_VERSION} is not what it was` };
  // Beside node_modules, where its imports are found.
  const main = join(fetched, "worker.js");
  writeAtomic(main, app);
  const folder = join(ring.folder, "portkey-workerd");
  mkdirSync(folder, { recursive: true });
  const config = join(folder, "wrangler.json");
  const compatibility = { compatibility_date: COMPATIBILITY_DATE, compatibility_flags: ["nodejs_compat"] };
  writeAtomic(config, JSON.stringify({ name: "portkey", main, ...compatibility }));
  const cli = inRepository("node_modules", "wrangler", "wrangler-dist", "cli.js");
  const args = ["--no-warnings", cli, "deploy", "--dry-run", "--outdir", folder, "--config", config];
  const quiet = { CI: "1", WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true", WRANGLER_LOG_PATH: folder };
  try {
    await ring.supervisor.run({ name: "portkey-bundle", command: execPath, args, cwd: folder, env: quiet });
  } catch (failure) {
    ring.signal.throwIfAborted();
    if (!(failure instanceof PartFailure)) throw failure;
    return { absent: `Portkey ${PORTKEY_VERSION} cannot be made a Worker: ${tellingLine(failure)}` };
  }
  return folder;
}

/**
 * The app without its Node server.
 *
 * @param build the package's one file, minified
 * @returns a module whose default export is the app; null when the build is not as we know it
 */
export function appOf(build: string): string | null {
  const server = /const \w+=process\.argv\.slice\(2\)/.exec(build);
  const app = /\w+\(\{fetch:(\w+)\.fetch,port:/.exec(build)?.[1];
  if (server === null || app === undefined) return null;
  const forNodeOnly = /import[^;]*from"(?:@hono\/node-server|@hono\/node-ws|ws)";/g;
  const kept = build
    .slice(0, server.index)
    .replace(/^#!.*\n/, "")
    .replace(forNodeOnly, "");
  return `${kept};export default ${app};`;
}

function workerdConfig(port: number): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "portkey", worker = (
      modules = [(name = "worker", esModule = embed "worker.js")],
      compatibilityDate = "${COMPATIBILITY_DATE}",
      compatibilityFlags = ["nodejs_compat"],
      bindings = [
        (name = "ENVIRONMENT", text = "production"),
        (name = "CUSTOM_HEADERS_TO_IGNORE", json = "[]"),
      ],
      globalOutbound = "loopback",
    )),
    (name = "loopback", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "portkey")],
);
`;
}
