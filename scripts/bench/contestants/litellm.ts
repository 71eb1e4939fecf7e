/** LiteLLM's proxy: one worker, no database, no log of its own, one key as callers would have it. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { freePort } from "#scripts/stack/ports.ts";
import { writeAtomic } from "#scripts/stack/state-dir.ts";
import { answering } from "./answering.ts";
import { type Contestant, MODEL } from "./contestant.ts";
import { type Fetch, fetched } from "./fetched.ts";
import { onPath } from "./on-path.ts";

/** Of those after it, 1.107.0 was a compromised release, and 1.110.2 asks for a package that PyPI does not have. */
export const LITELLM_VERSION = "1.105.7";

/** @param env where PATH is taken from */
export function litellm(env: NodeJS.ProcessEnv): Contestant {
  return {
    name: "LiteLLM",
    start: async (ring) => {
      const python = onPath("python3", env);
      if (python === null) return { absent: "python3 is not on the PATH, which LiteLLM runs on" };
      const folder = await fetched(ring, litellmFetch(python));
      if (typeof folder !== "string") return folder;
      const config = join(ring.folder, "litellm.yaml");
      writeAtomic(config, litellmConfig(ring.engine));
      const port = await freePort();
      // It does not start without one, nor with a short one.
      const key = `sk-${randomBytes(32).toString("hex")}`;
      return answering(
        ring,
        {
          name: "litellm",
          // Somebody else's database it would take for its own, and an empty name of one it does not take for none.
          command: "env",
          args: ["-u", "DATABASE_URL", join(folder, "venv", "bin", "litellm"), ...litellmArgs(config, port)],
          cwd: ring.folder,
          env: {
            LITELLM_MASTER_KEY: key,
            LITELLM_LOG: "ERROR",
            // Prices are read from what came with it, not from the internet.
            LITELLM_LOCAL_MODEL_COST_MAP: "True",
            PYTHONNOUSERSITE: "1",
          },
        },
        {
          what: `LiteLLM ${LITELLM_VERSION}`,
          url: `http://127.0.0.1:${port}/v1/chat/completions`,
          headers: { authorization: `Bearer ${key}` },
        },
      );
    },
  };
}

function litellmArgs(config: string, port: number): string[] {
  const where = ["--host", "127.0.0.1", "--port", String(port)];
  return ["--config", config, ...where, "--num_workers", "1", "--telemetry", "False"];
}

export function litellmFetch(python: string): Fetch {
  const what = `litellm[proxy]==${LITELLM_VERSION}`;
  return {
    name: "litellm",
    version: what,
    size: "740 MB, a minute",
    files: {},
    commands: (folder) => [
      { name: "litellm-venv", command: python, args: ["-m", "venv", "venv"] },
      {
        name: "litellm-pip",
        command: join(folder, "venv", "bin", "pip"),
        args: ["install", "--quiet", "--no-input", "--disable-pip-version-check", what],
      },
    ],
  };
}

/** JSON is YAML. The key is never looked at: the engine takes any. */
export function litellmConfig(engine: string): string {
  return JSON.stringify({
    model_list: [
      {
        model_name: MODEL,
        litellm_params: { model: `openai/${MODEL}`, api_base: `${engine}/v1`, api_key: "unused" },
      },
    ],
  });
}
