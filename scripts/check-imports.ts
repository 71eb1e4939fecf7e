/**
 * Checks the direction of imports in src/: stages never call each other, only conductors know more than one, and
 * nothing goes in circles. Types may be imported from anywhere: they leave no trace at run time.
 * Prints every breach with its file and line; exits 1 when there is one.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

/** Files at the top of src/ that any stage may use; they know no stage. */
const LEAVES = [
  "audio.ts",
  "bytes.ts",
  "env.ts",
  "hmac.ts",
  "json.ts",
  "messages-problem.ts",
  "problem.ts",
  "sse.ts",
  "strict-json.ts",
  "uuid.ts",
  "within.ts",
];
/** These read from top to bottom what happens to a request, so they know the stages. */
const CONDUCTORS = ["index.ts", "app.ts", "isolate.ts", "ingress/", "admin/"];
/** A stage's further imports, each with its reason. */
const ALLOWED: readonly { readonly from: string; readonly to: string }[] = [
  // Probes take the same way to a host as requests do.
  { from: "fleet/fleet.do.ts", to: "upstream/reach.ts" },
  // What a login page or a tunnel's page is, a probe knows as requests do.
  { from: "fleet/probe.ts", to: "upstream/door.ts" },
  // The consumer is where the ledger reaches its database.
  { from: "usage/", to: "postgres/" },
  // Jobs run beside requests, on what the ledger holds.
  { from: "jobs/", to: "postgres/" },
  // What jobs are given of the outside: hosts as requests reach them, and the names of accounts.
  { from: "jobs/surroundings.ts", to: "upstream/reach.ts" },
  { from: "jobs/surroundings.ts", to: "auth/api-key.ts" },
];

type Import = { readonly from: string; readonly to: string; readonly line: number };

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .sort();
const imports = files.flatMap(valueImportsOf);
const breaches = [
  ...imports
    .filter((entry) => !isAllowed(entry))
    .map(({ from, line, to }) => `src/${from}:${line} may not import src/${to}`),
  ...cycles(),
];
for (const breach of breaches) console.error(breach);
console.log(`imports: ${files.length} files, ${imports.length} imports, ${breaches.length} breaches`);
process.exitCode = breaches.length === 0 ? 0 : 1;

function valueImportsOf(from: string): Import[] {
  const text = readFileSync(join(SRC, from), "utf8");
  const found: Import[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s+(?!type\b)([^;]*?)\s*from\s*"([^"]+)"/gms)) {
    const [, names = "", target = ""] = match;
    const onlyTypes =
      /^\{[^}]*\}$/.test(names) &&
      names
        .slice(1, -1)
        .split(",")
        .every((name) => /^\s*(type\s.*)?$/s.test(name));
    const to = target.startsWith("#src/")
      ? target.slice("#src/".length)
      : relative(SRC, join(SRC, dirname(from), target));
    const isOurs = target.startsWith("#src/") || target.startsWith(".");
    if (isOurs && !onlyTypes) found.push({ from, to, line: text.slice(0, match.index).split("\n").length });
  }
  return found;
}

function isAllowed({ from, to }: Import): boolean {
  if (CONDUCTORS.some((conductor) => from.startsWith(conductor))) return true;
  const stage = from.split("/")[0];
  if (to.startsWith(`${stage}/`) || LEAVES.includes(to)) return true;
  if (to.startsWith("catalog/")) return true;
  return ALLOWED.some((entry) => from.startsWith(entry.from) && to.startsWith(entry.to));
}

/** Every way that leads back to its start, each once. */
function cycles(): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    const seenAt = path.indexOf(file);
    if (seenAt !== -1) found.push(`a cycle: ${[...path.slice(seenAt), file].join(" -> ")}`);
    if (seenAt !== -1 || done.has(file)) return;
    for (const entry of imports) if (entry.from === file) walk(entry.to, [...path, file]);
    done.add(file);
  };
  for (const file of files) walk(file, []);
  return found;
}
