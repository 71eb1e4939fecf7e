/**
 * What is fetched once, by a package client, and kept over runs. A folder counts only with the mark that is written when
 * all its commands have succeeded: one that was broken off is thrown away and made anew.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PartFailure } from "#scripts/stack/part-failure.ts";
import { readIfThere, writeAtomic } from "#scripts/stack/state-dir.ts";
import type { PartSpec } from "#scripts/stack/supervisor.ts";
import type { Absent, Ring } from "./contestant.ts";
import { tellingLine } from "./telling-line.ts";

const MARK = "whole";

export type Fetch = {
  /** Of its folder. */
  readonly name: string;
  /** Everything that decides what will lie in the folder: exact versions. */
  readonly version: string;
  /** For the line that says what is awaited: "25 MB". */
  readonly size: string;
  /** Files that the commands read, by name. */
  readonly files: Readonly<Record<string, string>>;
  /** Run one after the other in the folder; the first to fail ends it. */
  readonly commands: (folder: string) => readonly Omit<PartSpec, "cwd">[];
};

/**
 * Fetches it unless it is there already.
 *
 * @returns its folder, or why it cannot be had
 * @throws what the ring's signal was aborted with
 */
export async function fetched(ring: Ring, { name, version, size, files, commands }: Fetch): Promise<string | Absent> {
  const folder = join(ring.kept, name);
  // With its place, because what Python installs does not bear to be moved.
  const mark = `${version}\n${folder}\n`;
  if (readIfThere(join(folder, MARK)) === mark) return folder;
  ring.print(`  ${name}: fetching ${version} (${size}), this once`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeAtomic(join(folder, file), text);
  try {
    for (const command of commands(folder)) await ring.supervisor.run({ ...command, cwd: folder });
  } catch (failure) {
    ring.signal.throwIfAborted();
    if (!(failure instanceof PartFailure)) throw failure;
    return { absent: `${version} cannot be fetched: ${tellingLine(failure)}` };
  }
  writeAtomic(join(folder, MARK), mark);
  return folder;
}
