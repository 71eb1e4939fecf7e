/** Portkey's gateway on Node, which is how its own `npx` starts it. It checks no caller and limits none. */
import { join } from "node:path";
import { execPath } from "node:process";
import { freePort } from "#scripts/stack/ports.ts";
import { answering } from "./answering.ts";
import type { Contestant } from "./contestant.ts";
import { PORTKEY_VERSION, portkeyHeaders, portkeyPackage } from "./portkey-package.ts";

/**
 * It listens on every interface, has no option for that, and passes on whatever it is sent: on a machine in a network
 * that is a door to everything on its loopback. Runs once, before its first line, and costs requests nothing.
 */
const LOOPBACK_ONLY = `import { Server } from "node:net";
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, host ?? "127.0.0.1", ...rest);
};`;

/** @param env where PATH is taken from */
export function portkey(env: NodeJS.ProcessEnv): Contestant {
  return {
    name: "Portkey on Node",
    start: async (ring) => {
      const folder = await portkeyPackage(ring, env);
      if (typeof folder !== "string") return folder;
      // Its port is an argument; it reads no variable for it.
      const port = await freePort();
      const program = join(folder, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js");
      const preload = `data:text/javascript,${encodeURIComponent(LOOPBACK_ONLY)}`;
      return answering(
        ring,
        {
          name: "portkey",
          command: execPath,
          args: ["--import", preload, program, "--headless", `--port=${port}`],
          cwd: folder,
          // Without the first it keeps a log of requests for its page.
          env: { NODE_ENV: "production", TRUSTED_CUSTOM_HOSTS: "127.0.0.1" },
        },
        {
          what: `Portkey ${PORTKEY_VERSION} on Node ${process.versions.node}`,
          url: `http://127.0.0.1:${port}/v1/chat/completions`,
          headers: portkeyHeaders(ring.engine),
        },
      );
    },
  };
}
