import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { SummaryLine } from "./summary-line.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** How many ways to cut recorded answers into chunks (test/app/chunkings.test.ts); `npm run chaos` asks for more. */
    chunkings: number;
  }
}

const root = new URL("..", import.meta.url).pathname;

/** A Worker that throws as a VPC binding does, but to probes; the host's name in the URL says which code. */
const BROKEN_VPC = `export default {
  fetch(request) {
    if (new URL(request.url).pathname === "/health") return new Response("ok");
    throw new Error("ProxyError: " + new URL(request.url).hostname.replaceAll("-", "_"));
  },
};`;

const SETUPS = ["test/postgres.setup.ts", "test/hosts.setup.ts"];

const testsOf = (names: readonly string[]): string[] => names.map((name) => `test/${name}.test.ts`);

/** Tests of the whole Worker, or with its Fleet: in a runtime that others have used they would hear of those. */
const WHOLE = testsOf(["admin/**/*", "app/**/*", "index/**/*", "auth/hostile-tokens"]).concat(
  testsOf(["admit", "answers", "content", "feedback", "guard", "limits", "usage"].map((name) => `ingress/${name}`)),
);

/** What takes longer hangs: on a machine with others to serve, what takes a second alone may take ten. */
const PATIENT = { testTimeout: 30_000, hookTimeout: 30_000 };

/** Tests of the scripts, and from outside. */
const IN_NODE = ["test/scripts/**", "test/flow/**"];

/** The Worker as wrangler.toml has it, in workerd. */
const inWorkerd = () =>
  cloudflareTest(({ inject }) => ({
    wrangler: { configPath: "./wrangler.toml" },
    miniflare: {
      bindings: {
        CAUSEWAY_SECRET: "only-for-tests-only-for-tests-only-for-tests",
        VLLM_API_KEY: "vllm-key-of-the-tests",
        JETSON_API_KEY: "jetson-key-of-the-tests",
        ACCESS_CLIENT_ID: inject("serviceToken").id,
        ACCESS_CLIENT_SECRET: inject("serviceToken").secret,
        RESUME_GRACE_MS: "1500",
        OUTBOX_SEND_MS: "50",
      },
      // In the place of Workers VPC, which has no local emulation: a server behind a binding, a binding that nobody
      // listens behind, and one that throws what the platform throws.
      serviceBindings: {
        LAB_VPC: { external: { address: new URL(inject("ways").lab).host, http: {} } },
        DEAD_VPC: { external: { address: "127.0.0.1:1", http: {} } },
        BROKEN_VPC: "broken-vpc",
      },
      workers: [{ name: "broken-vpc", modules: true, script: BROKEN_VPC, compatibilityDate: "2026-11-02" }],
      hyperdrives: { HYPERDRIVE: inject("databaseUrl") },
      // As in wrangler.toml, but for a second that every row would be waited for.
      queueConsumers: {
        usage: { maxBatchSize: 100, maxBatchTimeout: 0.05, maxRetries: 100, deadLetterQueue: "usage-dlq" },
      },
    },
  }));

/** Tests that bring up a running system of their own. */
const APART = testsOf(["chaos-fleet", "chaos-streams", "own-catalog", "storm"].map((name) => `flow/${name}`));

/**
 * Of tests from outside. They come after all others, since faults and paces want a machine that is not busy; side by
 * side, since most of their time they wait.
 */
const IN_LANES = { sequence: { groupOrder: 1 }, maxWorkers: 2, testTimeout: 60_000, hookTimeout: 60_000 };

/**
 * Five projects: `worker` and `parts` run inside workerd with real objects, KV and queues; `node` tests the scripts; `flow`
 * and `apart` drive the whole running system from outside.
 */
export default defineConfig({
  root,
  // The plugin resolves what a CommonJS package requires by this config and not by its project's. Without the condition
  // `pg` gets the empty stand-in that its socket package has for other platforms.
  ssr: { resolve: { conditions: ["workerd", "module"] } },
  test: {
    reporters: ["default", new SummaryLine()],
    // What a passing test logs (refusals, failing queues) is no news.
    silent: "passed-only",
    // Most of a file's time is its start. By default a machine of two cores would run one file at a time.
    maxWorkers: 2,
    projects: [
      {
        root,
        plugins: [inWorkerd()],
        test: {
          provide: { chunkings: Number(process.env.CAUSEWAY_CHUNKINGS ?? 100) },
          name: "worker",
          include: WHOLE,
          ...PATIENT,
          globalSetup: SETUPS,
        },
      },
      {
        root,
        plugins: [inWorkerd()],
        // They leave nothing behind and share a runtime: to start one costs more than most of them.
        test: {
          name: "parts",
          include: ["test/**/*.test.ts"],
          exclude: [...WHOLE, ...IN_NODE],
          isolate: false,
          ...PATIENT,
          globalSetup: SETUPS,
        },
      },
      {
        root,
        test: { name: "node", include: ["test/scripts/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
      },
      {
        root,
        // By its name it comes before `flow`: the longest files begin first.
        test: { ...IN_LANES, name: "apart", include: APART },
      },
      {
        root,
        test: {
          ...IN_LANES,
          name: "flow",
          include: ["test/flow/**/*.test.ts"],
          exclude: APART,
          globalSetup: "test/flow/stack.setup.ts",
        },
      },
    ],
  },
});
