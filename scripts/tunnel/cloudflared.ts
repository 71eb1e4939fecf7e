/**
 * The real cloudflared's opinion of a file, where it is installed: `tunnel ingress validate`, and `tunnel ingress rule URL`
 * for every path. It needs neither the network nor an account for that.
 */
import { execFile } from "node:child_process";
import { mayNotPass } from "./check.ts";
import type { PlannedTunnel } from "./plan.ts";

export type Opinion =
  | { readonly kind: "absent" }
  | { readonly kind: "asked"; readonly version: string; readonly urls: number; readonly problems: readonly string[] };

/** Reading a file and matching a URL takes it a moment. */
const LIMIT_MS = 10_000;
/** What is let through is asked in full; of what is not, this many, since each costs a process. */
const CLOSED_URLS = 6;

/**
 * Asks the cloudflared on the PATH.
 *
 * @param env where PATH is taken from
 */
export async function askCloudflared(file: string, tunnel: PlannedTunnel, env: NodeJS.ProcessEnv): Promise<Opinion> {
  const version = await run(["--version"], env);
  if (version === null) return { kind: "absent" };
  const ingress = (...args: string[]) => run(["tunnel", "--config", file, "ingress", ...args], env);
  const problems: string[] = [];
  const validated = await ingress("validate");
  if (validated === null || validated.code !== 0 || /^Warning/m.test(validated.text)) {
    problems.push(`cloudflared does not take it: ${lastLines(validated?.text ?? "")}`);
  }
  let urls = 0;
  for (const { hostname, service, allowed } of tunnel.rules) {
    const closed = mayNotPass(allowed).slice(0, CLOSED_URLS);
    for (const [paths, wanted] of [
      [allowed, service],
      [closed, "404"],
    ] as const) {
      for (const path of paths) {
        const url = `https://${hostname}${path}`;
        const found = serviceIn((await ingress("rule", url))?.text ?? "");
        urls += 1;
        const fits = wanted === "404" ? found?.includes("404") : found === wanted;
        if (fits !== true) problems.push(`cloudflared sends ${url} to ${found ?? "nothing"}, not to ${wanted}`);
      }
    }
  }
  return { kind: "asked", version: version.text.trim(), urls, problems };
}

/** Of the rule that it prints: `hostname:`, `path:` and `service:`, a line each. */
function serviceIn(text: string): string | undefined {
  return /^\s*service:\s*(.+?)\s*$/m.exec(text)?.[1];
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-3).join(" / ");
}

/** Null when there is no such program. */
function run(args: readonly string[], env: NodeJS.ProcessEnv): Promise<{ code: number; text: string } | null> {
  return new Promise((resolve) => {
    execFile("cloudflared", [...args], { env, timeout: LIMIT_MS }, (problem, stdout, stderr) => {
      if (problem?.code === "ENOENT") resolve(null);
      else resolve({ code: problem === null ? 0 : 1, text: `${stdout}${stderr}` });
    });
  });
}
