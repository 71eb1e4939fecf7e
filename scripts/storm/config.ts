/** The storm's wrangler configuration: the repository's own, with another entry (worker.mjs). */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inRepository } from "#scripts/stack/repository.ts";

const MAIN = 'main = "src/index.ts"';

/** Writes it into the folder. @returns its path @throws Error when wrangler.toml names another entry than it did */
export function writeStormConfig(folder: string): string {
  const own = readFileSync(inRepository("wrangler.toml"), "utf8");
  if (!own.includes(MAIN)) throw new Error(`wrangler.toml does not say ${MAIN}`);
  const path = join(folder, "wrangler.toml");
  writeFileSync(path, own.replace(MAIN, `main = ${JSON.stringify(inRepository("scripts", "storm", "worker.mjs"))}`));
  return path;
}
