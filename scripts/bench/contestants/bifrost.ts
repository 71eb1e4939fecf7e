/**
 * Bifrost, written from its documentation and never tried: where this was made neither its Go module nor its download
 * could be had. If it does not answer, the bench says so and goes on.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "#scripts/stack/ports.ts";
import { writeAtomic } from "#scripts/stack/state-dir.ts";
import { answering } from "./answering.ts";
import { type Absent, type Contestant, MODEL, type Ring } from "./contestant.ts";
import { type Fetch, fetched } from "./fetched.ts";
import { onPath } from "./on-path.ts";

export const BIFROST_VERSION = "v1.5.17";
const PROGRAM = "bifrost-http";

/** @param env where PATH is taken from */
export function bifrost(env: NodeJS.ProcessEnv): Contestant {
  return {
    name: "Bifrost",
    start: async (ring) => {
      const found = await programOf(ring, env);
      if ("absent" in found) return found;
      const folder = join(ring.folder, "bifrost");
      mkdirSync(folder, { recursive: true });
      writeAtomic(join(folder, "config.json"), bifrostConfig(ring.engine));
      const port = await freePort();
      return answering(
        ring,
        {
          name: "bifrost",
          command: found.program,
          args: ["-app-dir", folder, "-host", "127.0.0.1", "-port", String(port), "-log-level", "error"],
          cwd: folder,
        },
        // This path takes a model's name without its provider before it.
        { what: found.what, url: `http://127.0.0.1:${port}/openai/v1/chat/completions`, headers: {} },
      );
    },
  };
}

/** The one that is installed, whatever its version; else one of an exact version, built by Go. */
async function programOf(ring: Ring, env: NodeJS.ProcessEnv): Promise<{ program: string; what: string } | Absent> {
  const installed = onPath(PROGRAM, env);
  if (installed !== null) return { program: installed, what: "Bifrost as installed" };
  const go = onPath("go", env);
  if (go === null) return { absent: `neither ${PROGRAM} nor go, which builds it, is on the PATH` };
  const folder = await fetched(ring, bifrostFetch(go));
  if (typeof folder !== "string") return folder;
  return { program: join(folder, PROGRAM), what: `Bifrost ${BIFROST_VERSION}` };
}

export function bifrostFetch(go: string): Fetch {
  const module = `github.com/maximhq/bifrost/transports/${PROGRAM}@${BIFROST_VERSION}`;
  return {
    name: "bifrost",
    version: module,
    size: "some minutes of building",
    files: {},
    commands: (folder) => [{ name: "bifrost-go", command: go, args: ["install", module], env: { GOBIN: folder } }],
  };
}

/** Files only: no store of settings, none of requests. It adds `/v1` to the base URL by itself. */
export function bifrostConfig(engine: string): string {
  return JSON.stringify({
    client: { enable_logging: false, drop_excess_requests: false },
    providers: {
      openai: {
        keys: [{ name: "bench", value: "unused", models: [MODEL], weight: 1 }],
        network_config: { base_url: engine },
      },
    },
    config_store: { enabled: false },
    logs_store: { enabled: false },
  });
}
