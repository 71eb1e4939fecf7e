/** The catalog a stack runs on: read, checked, and pointed at the lab. Knows the file, not what the hosts are. */
import { readFileSync } from "node:fs";
import { type Catalog, type CatalogProblem, parseCatalog } from "#src/catalog/schema.ts";
import { Refusal } from "./refusal.ts";
import { inRepository } from "./repository.ts";

const BUNDLED = inRepository("src", "catalog", "default.json");

/**
 * Reads and checks a catalog.
 *
 * @param file the operator's file, or null for the bundled one
 * @throws Refusal (exit code 2) with the file, the path inside it and the reason
 */
export function readCatalog(file: string | null): Catalog {
  const path = file ?? BUNDLED;
  const parsed = parseCatalog(jsonOf(path, file === null ? "" : " Give another one with --catalog FILE."));
  const problems = parsed.kind === "valid" ? notHere(parsed.catalog) : parsed.problems;
  if (parsed.kind === "valid" && problems.length === 0) return parsed.catalog;
  const lines = problems.map((problem) => `  ${problem.path}: ${problem.reason}`);
  throw new Refusal(2, `The catalog ${path} cannot be used:\n${lines.join("\n")}`);
}

/** What a valid catalog asks for and only a deployed Worker has. */
function notHere({ hosts }: Catalog): CatalogProblem[] {
  return hosts.flatMap(({ reach }, at) =>
    reach.via === "vpc"
      ? [
          {
            path: `hosts.${at}.reach.via`,
            reason: `"vpc" works only in a deployed Worker: Workers VPC has no local emulation. Reach the host "direct" or by "access" here.`,
          },
        ]
      : [],
  );
}

function jsonOf(path: string, advice: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Refusal(2, `The catalog ${path} cannot be read: ${reasonOf(error)}.${advice}`);
  }
  try {
    // Editors on Windows put a byte order mark before the text.
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new Refusal(2, `The catalog ${path} is not JSON: ${reasonOf(error)}.`);
  }
}

/** The same catalog with the hosts of the lab reached where the lab really listens. */
export function onLab(catalog: Catalog, labUrls: Readonly<Record<string, string>>): Catalog {
  const hosts = catalog.hosts.map((host) => {
    const url = labUrls[host.id];
    return url === undefined ? host : { ...host, reach: { via: "direct" as const, url } };
  });
  return { ...catalog, hosts };
}

/** The model to show a new user: the design's first one if it is there, else the first that generates text. */
export function exampleModel(catalog: Catalog): string | null {
  const talkers = catalog.models.filter((model) => model.kind === "generation").map((model) => model.id);
  return talkers.find((id) => id === "llama-3.1-8b") ?? talkers[0] ?? null;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
