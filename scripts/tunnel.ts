/** `npm run tunnel`: writes the cloudflared configuration of a catalog's hosts, and checks it. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readCatalog } from "./stack/catalog-file.ts";
import { Refusal } from "./stack/refusal.ts";
import { inRepository } from "./stack/repository.ts";
import { check } from "./tunnel/check.ts";
import { askCloudflared } from "./tunnel/cloudflared.ts";
import { type Command, parseCommand, USAGE } from "./tunnel/command.ts";
import { type PlannedTunnel, planOf } from "./tunnel/plan.ts";
import { render } from "./tunnel/render.ts";

const ABSENT =
  "cloudflared is not on the PATH: the real one has validated nothing. Install it and run this again before you copy a file.";

try {
  const command = parseCommand(process.argv.slice(2));
  if (command === null) console.log(USAGE);
  else await run(command);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof Refusal ? error.exitCode : 1;
}

async function run(command: Command): Promise<void> {
  const tunnels = planOf(readCatalog(command.catalog ?? inRepository("tunnel", "catalog.example.json")));
  const dir = command.dir ?? inRepository("tunnel", "cloudflared");
  if (command.name === "render") writeFiles(command, tunnels, dir);
  else if (!(await checkFiles(tunnels, dir))) process.exitCode = 1;
}

function writeFiles({ team, ids, audTags }: Command, tunnels: readonly PlannedTunnel[], dir: string): void {
  const strangers = [...ids.keys(), ...audTags.keys()].filter(
    (name) => !tunnels.some((tunnel) => tunnel.name === name),
  );
  if (strangers.length > 0) throw new Refusal(2, `The catalog has no tunnel ${strangers.join(", ")}.`);
  mkdirSync(dir, { recursive: true });
  for (const tunnel of tunnels) {
    const { name } = tunnel;
    const file = join(dir, `${name}.yml`);
    writeFileSync(file, render(tunnel, { team, tunnelId: ids.get(name), audTags: audTags.get(name) }));
    console.log(`${file}: ${tunnel.rules.map(({ hostname }) => hostname).join(", ")}`);
  }
}

/** @returns whether nothing was found */
async function checkFiles(tunnels: readonly PlannedTunnel[], dir: string): Promise<boolean> {
  let found = 0;
  let isAbsent = false;
  const tell = (file: string, lines: readonly string[]) => lines.map((line) => console.log(`${file}: ${line}`));
  for (const tunnel of tunnels) {
    const file = join(dir, `${tunnel.name}.yml`);
    const { problems, notes } = check(textOf(file), tunnel);
    const opinion = await askCloudflared(file, tunnel, process.env);
    isAbsent ||= opinion.kind === "absent";
    const theirs = opinion.kind === "asked" ? opinion.problems : [];
    found += problems.length + theirs.length;
    tell(file, [...problems, ...theirs, ...notes.map((note) => `note: ${note}`)]);
    if (problems.length + theirs.length > 0) continue;
    const paths = tunnel.rules.reduce((sum, { allowed }) => sum + allowed.length, 0);
    const agreed = opinion.kind === "asked" ? `; ${opinion.version} agrees on ${opinion.urls} URLs` : "";
    const hosts = tunnel.rules.map(({ host }) => host).join(", ");
    tell(file, [`ok: ${paths} paths lead to ${hosts}, everything else to 404${agreed}`]);
  }
  const names = tunnels.map(({ name }) => `${name}.yml`);
  const others = readdirSync(dir).filter((file) => file.endsWith(".yml") && !names.includes(file));
  tell(
    dir,
    others.map((file) => `${file} belongs to no tunnel of the catalog`),
  );
  if (isAbsent) console.log(ABSENT);
  return found + others.length === 0;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    throw new Refusal(2, `${file} is missing: npm run tunnel -- render writes it.`);
  }
}
