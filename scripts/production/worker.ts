/** Builds the gateway's production bundle, and runs it in workerd as it is deployed (config.ts). */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, parse, relative } from "node:path";
import { unstable_getMiniflareWorkerOptions } from "wrangler";
import { inRepository, REPOSITORY } from "#scripts/stack/repository.ts";
import type { PartSpec } from "#scripts/stack/supervisor.ts";
import type { startWorker } from "#scripts/stack/worker.ts";
import { answersOn } from "./answers-on.ts";
import { productionConfig, workerOptions } from "./config.ts";
import { program, weighable } from "./workerd.ts";

const READY_LIMIT_MS = 30_000;

export type Further = {
  /** Another entry than the gateway's own, bundled in the same way; null for that one. */
  readonly entry: string | null;
  /** Where workerd's inspector listens, for those who weigh it; null for none, since it is not deployed. */
  readonly inspectorPort: number | null;
};

/**
 * Runs the Worker for `startStack` in the place of `wrangler dev`.
 *
 * @param pinned holds a part to the contestants' core
 * @param catalog what KV holds
 */
export function productionWorker(
  pinned: (spec: PartSpec) => PartSpec,
  catalog: string,
  { entry = null, inspectorPort = null }: Partial<Further> = {},
): typeof startWorker {
  return async (supervisor, state, { port, variables, databaseUrl, configFile }) => {
    const wrangler = configFile ?? inRepository("wrangler.toml");
    const outdir = join(state.root, "bundle");
    await supervisor.run(bundling(wrangler, outdir, entry));
    const [storage, kvFile, config] = ["objects", "kv.json", "gateway.capnp"].map((name) => join(state.root, name));
    if (storage === undefined || kvFile === undefined || config === undefined)
      throw new Error("three names, three paths");
    mkdirSync(storage, { recursive: true });
    writeFileSync(kvFile, JSON.stringify({ catalog }));
    const { args: inspector, v8Flags } = weighable(inspectorPort);
    writeFileSync(
      config,
      productionConfig({
        port,
        options: workerOptions.parse(unstable_getMiniflareWorkerOptions(wrangler).workerOptions),
        variables,
        databaseUrl,
        bundle: join("bundle", moduleOf(entry)),
        kvFile: "kv.json",
        platform: relative(state.root, inRepository("scripts", "production", "platform")),
        storage,
        v8Flags,
      }),
    );
    const args = ["serve", "--experimental", ...inspector, config];
    const part = supervisor.launch(pinned({ name: "worker", command: program, args, cwd: state.root }));
    const url = `http://127.0.0.1:${port}`;
    await supervisor.ready(part, READY_LIMIT_MS, () => answersOn(`${url}/health`));
    return { url, trouble: null };
  };
}

/** wrangler names the bundle after its entry; the gateway's own is src/index.ts. */
function moduleOf(entry: string | null): string {
  return entry === null ? "index.js" : `${parse(entry).name}.js`;
}

function bundling(config: string, outdir: string, entry: string | null): PartSpec {
  const program = inRepository("node_modules", "wrangler", "wrangler-dist", "cli.js");
  const own = entry === null ? [] : [entry];
  const args = ["--no-warnings", program, "deploy", ...own, "--config", config, "--dry-run", "--outdir", outdir];
  const env = { CI: "1", WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false" };
  return { name: "bundle", command: process.execPath, args, cwd: REPOSITORY, env };
}
