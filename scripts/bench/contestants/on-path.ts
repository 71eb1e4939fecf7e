/** Which program a name means, as a shell would find it. Starts nothing. */
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * @param env where PATH is taken from
 * @param more folders that are looked through after PATH
 * @returns its absolute path, or null when there is none that may be run
 */
export function onPath(program: string, env: NodeJS.ProcessEnv, more: readonly string[] = []): string | null {
  const folders = [...(env.PATH ?? "").split(delimiter).filter((folder) => folder !== ""), ...more];
  return folders.map((folder) => join(folder, program)).find(mayBeRun) ?? null;
}

function mayBeRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
