/**
 * Recorded answers in any chunks through the whole Worker: test/app/chunkings.test.ts, with as many as are asked for. It
 * runs in the tests' own workerd, where a chunk is what the test says; a real network would cut as it likes.
 */
import { spawn } from "node:child_process";
import { inRepository } from "#scripts/stack/repository.ts";
import { must } from "../finding.ts";
import type { Part, Told } from "../play.ts";
import type { ChunkingsScale } from "./scale.ts";

export function chunkings({ chunkings: count }: ChunkingsScale): Part<Told> {
  return {
    name: "chunkings",
    hosts: [],
    models: [],
    async play({ signal }) {
      const { code, output } = await tests(count, signal);
      const differences =
        code === 0 ? "0" : (/^.*(?:Error|expected).*$/m.exec(output)?.[0].trim() ?? `exit code ${code}`);
      return {
        setting: `${count} chunkings, 1 B to 64 KiB, of recorded answers of both engines`,
        findings: [must("events and usage that differ", "0", differences, code === 0)],
      };
    },
    progress: (startedAtMs, nowMs) => `${String(Math.round((nowMs - startedAtMs) / 1_000)).padStart(5)} s  chunkings`,
  };
}

function tests(count: number, signal: AbortSignal): Promise<{ code: number | null; output: string }> {
  const vitest = inRepository("node_modules", "vitest", "vitest.mjs");
  const args = [vitest, "run", "--config", "test/vitest.config.ts", "--project", "worker", "test/app/chunkings"];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: inRepository(),
      env: { ...process.env, CAUSEWAY_CHUNKINGS: String(count) },
      stdio: ["ignore", "pipe", "pipe"],
      signal,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (part: string) => {
        output += part;
      });
    }
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output }));
  });
}
