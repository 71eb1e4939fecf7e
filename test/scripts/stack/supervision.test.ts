// Processes: a crash is noticed and named, everything ends with its whole group, orphans are told from strangers.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { takeLock } from "#scripts/stack/lock.ts";
import { PartEnded, PartSilent } from "#scripts/stack/part-failure.ts";
import { endOrphans } from "#scripts/stack/pid-book.ts";
import { identify, isAlive, membersOf } from "#scripts/stack/process-table.ts";
import { openStateDir, type StateDir } from "#scripts/stack/state-dir.ts";
import { Supervisor } from "#scripts/stack/supervisor.ts";

let state: StateDir;
let supervisor: Supervisor;
beforeEach(() => {
  state = openStateDir(mkdtempSync(join(tmpdir(), "causeway-test-")));
  supervisor = new Supervisor(state);
});
afterEach(async () => {
  await supervisor.stopAll();
  rmSync(state.root, { recursive: true, force: true });
});

/** What a hanging server looks like: nothing comes until the asker gives up. */
function unanswered(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

/** A part that is a line of shell. */
function shell(name: string, script: string) {
  return { name, command: "/bin/sh", args: ["-c", script], cwd: "/" };
}

it("names a part that crashed, its exit code and the end of its log", async () => {
  supervisor.launch(shell("steady", "sleep 60"));
  supervisor.launch(shell("brittle", "seq 1 40; exit 7"));
  const crash = await supervisor.crashed;
  expect(crash).toMatchObject({ part: "brittle", exitCode: 7 });
  expect(crash.message).toContain(join(state.logs, "brittle.log"));
  expect(crash.message.split("\n").slice(1)).toEqual(Array.from({ length: 20 }, (_, at) => String(at + 21)));
});

it("names a part that runs and answers no more, and shows its log without the noise", async () => {
  const part = supervisor.launch({ ...shell("mute", "echo asked; echo broken; sleep 60"), noise: /asked/ });
  await supervisor.ready(part, 5_000, async () =>
    readFileSync(part.logFile, "utf8").includes("broken") ? true : null,
  );
  supervisor.watch(part, { everyMs: 1, limitMs: 10, failures: 3 }, "GET /health", () => Promise.reject(new Error()));
  const crash = await supervisor.crashed;
  expect(crash).toBeInstanceOf(PartSilent);
  expect(crash.part).toBe("mute");
  expect(crash.message).toMatch(/^mute does not answer any more: GET \/health [^\n]*\nbroken$/);
});

it("takes no part for silent that is being stopped", async () => {
  const part = supervisor.launch(shell("slow", "sleep 60"));
  supervisor.watch(part, { everyMs: 1, limitMs: 50, failures: 3 }, "GET /health", unanswered);
  await supervisor.stopAll();
  expect(await Promise.race([supervisor.crashed, sleep(200, "none")])).toBe("none");
});

it.each(["ask", "kill"] as const)(
  "ends one part on purpose (%s), which is no crash, and starts it again",
  async (how) => {
    const launch = () => supervisor.launch(shell("steady", "sleep 60 & sleep 60"));
    const first = launch();
    supervisor.watch(first, { everyMs: 50, limitMs: 50, failures: 10 }, "GET /health", unanswered);
    expect(supervisor.part("steady").pid).toBe(first.pid);
    await supervisor.end("steady", how);
    expect(membersOf(first.pid)).toEqual([]);
    expect(() => supervisor.part("steady")).toThrow("no part named steady runs");
    const second = launch();
    expect(supervisor.part("steady").pid).toBe(second.pid);
    // Longer than it takes to find the first one silent.
    expect(await Promise.race([supervisor.crashed, sleep(1_500, "none")])).toBe("none");
  },
);

it("gives up waiting for a part that never answers", async () => {
  const part = supervisor.launch(shell("mute", "sleep 60"));
  await expect(supervisor.ready(part, 100, async () => null)).rejects.toBeInstanceOf(PartSilent);
});

it("names a program that cannot be started", async () => {
  supervisor.launch({ ...shell("absent", ""), command: "/no/such/program" });
  expect(await supervisor.crashed).toMatchObject({ part: "absent" });
});

it("gives up waiting for a part as soon as that part ends", async () => {
  const part = supervisor.launch(shell("brittle", "exit 3"));
  await expect(supervisor.ready(part, 30_000, async () => null)).rejects.toBeInstanceOf(PartEnded);
});

it("ends a whole group, also one that will not listen", async () => {
  const polite = supervisor.launch(shell("polite", "sleep 60 & sleep 60"));
  const part = supervisor.launch(shell("deaf", "trap '' TERM; echo on; sleep 60 & while :; do sleep 1; done"));
  await supervisor.ready(part, 5_000, async () => (membersOf(part.pid).length > 1 ? true : null));
  expect(await supervisor.stopAll()).toEqual([]);
  expect([...membersOf(polite.pid), ...membersOf(part.pid)]).toEqual([]);
}, 20_000);

it("starts nothing more once it is stopping", async () => {
  await supervisor.stopAll();
  expect(() => supervisor.launch(shell("late", "sleep 60"))).toThrow("late");
});

it("ends the orphans of a killed start, and nobody who has their pid by chance", async () => {
  const orphan = supervisor.launch(shell("orphan", "sleep 60"));
  const stranger = spawn("sleep", ["60"], { detached: true, stdio: "ignore" });
  const pids = join(state.root, "pids.json");
  const known = { name: "orphan", ...identify(orphan.pid), stopSignal: "SIGTERM" };
  const reused = { name: "gone", pid: stranger.pid, startedAt: "before", stopSignal: "SIGTERM" };
  writeFileSync(pids, JSON.stringify([known, reused]));
  expect(await endOrphans(state)).toEqual(["orphan"]);
  expect(identify(orphan.pid)).toBeNull();
  expect(identify(stranger.pid ?? 0)).not.toBeNull();
  stranger.kill("SIGKILL");
});

it("lets one start hold the state folder, and takes it over from a dead one", () => {
  const release = takeLock(state);
  expect(() => takeLock(state)).toThrow(
    expect.objectContaining({ exitCode: 1, message: expect.stringContaining(String(process.pid)) }),
  );
  release();
  writeFileSync(join(state.root, "lock.json"), JSON.stringify({ pid: process.pid, startedAt: "another life" }));
  takeLock(state)();
});

it("tells a process from a later one with its pid", () => {
  const self = identify(process.pid);
  expect(self).not.toBeNull();
  expect(isAlive({ pid: process.pid, startedAt: self?.startedAt ?? "" })).toBe(true);
  expect(isAlive({ pid: process.pid, startedAt: "1" })).toBe(false);
});
