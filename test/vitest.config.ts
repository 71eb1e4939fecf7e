import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { SummaryLine } from "./summary-line.ts";

const root = new URL("..", import.meta.url).pathname;

/**
 * Three projects: `worker` runs inside workerd with real objects, KV and queues; `node` tests the scripts; `flow` drives
 * the whole running system from outside and shares one stack.
 */
export default defineConfig({
  root,
  test: {
    reporters: ["default", new SummaryLine()],
    projects: [
      {
        root,
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: { CAUSEWAY_SECRET: "only-for-tests-only-for-tests-only-for-tests" } },
          }),
        ],
        test: { name: "worker", include: ["test/*/**/*.test.ts"], exclude: ["test/flow/**", "test/scripts/**"] },
      },
      {
        root,
        test: { name: "node", include: ["test/scripts/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
      },
      {
        root,
        test: {
          name: "flow",
          include: ["test/flow/**/*.test.ts"],
          globalSetup: "test/flow/stack.setup.ts",
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
