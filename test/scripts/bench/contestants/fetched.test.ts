// What is fetched once: kept when whole, made anew when it is not what is wanted, never trusted when it was broken off.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Ring } from "#scripts/bench/contestants/contestant.ts";
import { type Fetch, fetched } from "#scripts/bench/contestants/fetched.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { Supervisor } from "#scripts/stack/supervisor.ts";

let root: string;
let ring: Ring;
let printed: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "causeway-test-"));
  printed = [];
  ring = {
    supervisor: new Supervisor(openStateDir(join(root, "state"))),
    engine: "http://127.0.0.1:1",
    kept: join(root, "kept"),
    folder: root,
    pinned: (spec) => spec,
    print: (line) => printed.push(line),
    signal: new AbortController().signal,
  };
});
afterEach(async () => {
  await ring.supervisor.stopAll();
  rmSync(root, { recursive: true, force: true });
});

/** Each line is a command of its own. Every run leaves a letter in `runs`, outside of the folder. */
function thing(version: string, ...lines: string[]): Fetch {
  const scripts = [`printf x >> "${root}/runs"`, ...lines];
  return {
    name: "thing",
    version,
    size: "1 KB",
    files: { "wanted.txt": version },
    commands: () => scripts.map((line) => ({ name: "thing-sh", command: "/bin/sh", args: ["-c", line] })),
  };
}

const runs = () => readFileSync(join(root, "runs"), "utf8").length;

it("is fetched the first time, with a line that says so, and not the second", async () => {
  const folder = await fetched(ring, thing("thing@1.0.0", "cat wanted.txt > got"));
  expect(folder).toBe(join(root, "kept", "thing"));
  expect(readFileSync(join(root, "kept", "thing", "got"), "utf8")).toBe("thing@1.0.0");
  expect(printed).toEqual(["  thing: fetching thing@1.0.0 (1 KB), this once"]);
  expect(await fetched(ring, thing("thing@1.0.0", "exit 1"))).toBe(folder);
  expect(runs()).toBe(1);
  expect(printed).toHaveLength(1);
});

it("is fetched anew when another version is wanted, into an empty folder", async () => {
  await fetched(ring, thing("thing@1.0.0", "touch left-over"));
  expect(await fetched(ring, thing("thing@1.0.1", "cat wanted.txt > got"))).toBe(join(root, "kept", "thing"));
  expect(readFileSync(join(root, "kept", "thing", "got"), "utf8")).toBe("thing@1.0.1");
  expect(existsSync(join(root, "kept", "thing", "left-over"))).toBe(false);
});

it("is fetched anew where it was moved to", async () => {
  await fetched(ring, thing("thing@1.0.0"));
  renameSync(join(root, "kept"), join(root, "moved"));
  const moved = { ...ring, kept: join(root, "moved") };
  expect(await fetched(moved, thing("thing@1.0.0"))).toBe(join(root, "moved", "thing"));
  expect(runs()).toBe(2);
});

it("is absent when a command fails, with what the command said, and begun from nothing the next time", async () => {
  const advice = 'echo "npm error A complete log of this run is elsewhere"; exit 1';
  const broken = thing("thing@1.0.0", "touch half", `echo "npm error code ENOTFOUND"; ${advice}`, "touch after");
  expect(await fetched(ring, broken)).toEqual({
    absent: "thing@1.0.0 cannot be fetched: npm error code ENOTFOUND",
  });
  const folder = join(root, "kept", "thing");
  expect(existsSync(join(folder, "half"))).toBe(true);
  expect(existsSync(join(folder, "after"))).toBe(false);
  expect(await fetched(ring, thing("thing@1.0.0", "test ! -e half"))).toBe(folder);
  expect(runs()).toBe(2);
});

it("is absent when its client cannot be started", async () => {
  const commands = () => [{ name: "thing-client", command: join(root, "no-such-client"), args: [] }];
  const absent = await fetched(ring, { ...thing("thing@1.0.0"), commands });
  expect(absent).toMatchObject({ absent: expect.stringContaining("ENOENT") });
});

it("is no absence when the run is called off, and leaves nothing that would count", async () => {
  const over = new AbortController();
  const fetching = fetched({ ...ring, signal: over.signal }, thing("thing@1.0.0", "sleep 60"));
  await expect.poll(() => existsSync(join(root, "runs"))).toBe(true);
  over.abort(new Error("called off"));
  const [ended] = await Promise.allSettled([fetching, ring.supervisor.stopAll()]);
  expect(ended).toMatchObject({ status: "rejected", reason: { message: "called off" } });
  const later = { ...ring, supervisor: new Supervisor(openStateDir(join(root, "state"))) };
  await fetched(later, thing("thing@1.0.0"));
  expect(runs()).toBe(2);
});
