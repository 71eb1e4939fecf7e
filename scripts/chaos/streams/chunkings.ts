/**
 * Recorded answers in any chunks through the whole Worker: test/app/chunkings.test.ts, with as many as are asked for. It
 * runs in the tests' own workerd, where a chunk is what the test says; a real network would cut as it likes.
 */
import { spawn } from "node:child_process";
import { inRepository } from "#scripts/stack/repository.ts";
import { must } from "../finding.ts";
import type { Report, Run } from "../play.ts";
import { progressOf } from "../progress-line.ts";
import type { ChunkingsScale } from "./scale.ts";

export async function chunkings(
  { chunkings: count }: ChunkingsScale,
  { print, progressEveryMs, signal }: Pick<Run, "print" | "progressEveryMs" | "signal">,
): Promise<Report> {
  const startedAtMs = Date.now();
  const showing = setInterval(
    () => print(progressOf("chunkings", startedAtMs, Date.now(), "under way")),
    progressEveryMs,
  );
  try {
    const { code, output } = await tests(count, signal);
    const wrong = /^.*(?:Error|expected).*$/m.exec(output)?.[0].trim() ?? `exit code ${code}`;
    const findings = [must("events and usage that differ", "0", code === 0 ? "0" : wrong, code === 0)];
    const setting = `${count} chunkings, 1 B to 64 KiB, of recorded answers of both engines`;
    return { name: "chunkings", played: { setting, findings } };
  } finally {
    clearInterval(showing);
  }
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
