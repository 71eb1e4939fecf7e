/** Portkey's gateway as its npm package has it, in a folder of its own, and how it is asked for our engine. */
import type { Absent, Ring } from "./contestant.ts";
import { type Fetch, fetched } from "./fetched.ts";
import { onPath } from "./on-path.ts";

export const PORTKEY_VERSION = "1.15.2";

/**
 * It asks for "^1.3.3", and with any newer one than this its streams are answered with 500 (`TypeError: immutable`, it
 * writes into the headers of a fetched response); Portkey-AI/gateway issue 1389.
 */
const NODE_SERVER_VERSION = "1.14.1";

/** @returns the folder whose node_modules has it, or why it cannot be had */
export async function portkeyPackage(ring: Ring, env: NodeJS.ProcessEnv): Promise<string | Absent> {
  const npm = onPath("npm", env);
  if (npm === null) return { absent: "npm is not on the PATH, which Portkey is fetched by" };
  return fetched(ring, portkeyFetch(npm));
}

export function portkeyFetch(npm: string): Fetch {
  const quiet = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"];
  return {
    name: "portkey",
    version: `@portkey-ai/gateway@${PORTKEY_VERSION} with @hono/node-server@${NODE_SERVER_VERSION}`,
    size: "25 MB",
    files: {
      "package.json": JSON.stringify({
        private: true,
        dependencies: { "@portkey-ai/gateway": PORTKEY_VERSION, "@hono/node-server": NODE_SERVER_VERSION },
        overrides: { "@hono/node-server": "$@hono/node-server" },
      }),
    },
    // With the folder by name: `npm run` tells its own to what it starts.
    commands: (folder) => [{ name: "portkey-npm", command: npm, args: ["install", "--prefix", folder, ...quiet] }],
  };
}

/** Its way to say per request which provider is meant and where that lives. */
export function portkeyHeaders(engine: string): Record<string, string> {
  return { "x-portkey-provider": "openai", "x-portkey-custom-host": `${engine}/v1`, authorization: "Bearer unused" };
}
