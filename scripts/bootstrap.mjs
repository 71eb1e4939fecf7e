/**
 * `node scripts/bootstrap.mjs SCRIPT.ts ARGS...`: runs a script of this checkout on the Node that package.json pins,
 * after installing what is missing. It must itself run on Node 20 with nothing installed, so it is plain JavaScript
 * and imports nothing but Node. It passes signals on and ends as the script ends.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const OLDEST_NODE = 20;
const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const MODULES = join(ROOT, "node_modules");
const PINNED_NODE = join(MODULES, "node", "bin", "node");
const STAMP = join(MODULES, ".causeway-lock");
/** Not in node_modules, because `npm ci` removes that folder. */
const INSTALL_LOCK = join(ROOT, ".causeway", "installing");
/** The holder of the lock touches it every second; one that is silent this long is dead. */
const LOCK_STALE_MS = 15_000;
const TICK_MS = 1_000;
/** npm says what is wrong first and how it is used after that. */
const SHOWN_LINES = 30;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

await main(process.argv.slice(2));

async function main([script, ...args]) {
  if (script === undefined) return fail("usage: node scripts/bootstrap.mjs SCRIPT.ts ARGS...", 2);
  if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE) {
    return fail(
      `Node ${process.versions.node} is too old: ${OLDEST_NODE} or newer is needed to start, and brings its own.`,
      1,
    );
  }
  const trouble = isInstalled() ? null : await installOnce();
  if (trouble !== null) return fail(trouble, 1);
  run(script, args);
}

function fail(text, code) {
  console.error(text);
  process.exitCode = code;
}

/** True when node_modules holds what package-lock.json says and the pinned Node runs. */
function isInstalled() {
  if (!existsSync(PINNED_NODE)) return false;
  const wanted = lockHash();
  if (textOf(STAMP) === wanted) return true;
  // Somebody may have run `npm ci` by hand: npm's own note of what it installed tells.
  if (!holdsWhatIsLocked() || !pinnedNodeRuns()) return false;
  writeFileSync(STAMP, wanted);
  return true;
}

function lockHash() {
  return createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .digest("hex");
}

/** Compares npm's hidden lockfile with ours: every package that must be here is, in its version, and no other. */
function holdsWhatIsLocked() {
  const installed = packagesOf(join(MODULES, ".package-lock.json"));
  const locked = packagesOf(join(ROOT, "package-lock.json"));
  if (installed === null || locked === null) return false;
  const needed = Object.entries(locked).filter(([path]) => path !== "");
  return (
    needed.every(([path, entry]) =>
      installed[path] ? installed[path].version === entry.version : entry.optional === true,
    ) && Object.keys(installed).every((path) => path in locked)
  );
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages ?? null;
  } catch {
    return null;
  }
}

function pinnedNodeRuns() {
  return spawnSync(PINNED_NODE, ["--version"], { encoding: "utf8" }).status === 0;
}

/** Installs, or waits while another bootstrap of this checkout does. Returns null, or what went wrong. */
async function installOnce() {
  for (let told = false; !takeLock(); told = true) {
    if (!told) console.error("another start is installing; waiting for it");
    await sleep(TICK_MS);
    if (isInstalled()) return null;
  }
  try {
    // Another bootstrap may have finished between our look and our lock.
    return isInstalled() ? null : await install();
  } finally {
    rmSync(INSTALL_LOCK, { recursive: true, force: true });
  }
}

function takeLock() {
  mkdirSync(dirname(INSTALL_LOCK), { recursive: true });
  try {
    mkdirSync(INSTALL_LOCK);
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    return takeStaleLock();
  }
  beat();
  return true;
}

/** A lock whose holder died is renamed away, which only one of several that try can do. */
function takeStaleLock() {
  const beatAt = statSync(INSTALL_LOCK, { throwIfNoEntry: false })?.mtimeMs;
  if (beatAt === undefined || Date.now() - beatAt < LOCK_STALE_MS) return false;
  const away = `${INSTALL_LOCK}.${process.pid}`;
  try {
    renameSync(INSTALL_LOCK, away);
  } catch {
    return false;
  }
  rmSync(away, { recursive: true, force: true });
  return takeLock();
}

/** Writing into the folder renews its time. */
function beat() {
  try {
    rmSync(join(INSTALL_LOCK, "beat"), { force: true });
    writeFileSync(join(INSTALL_LOCK, "beat"), String(process.pid));
  } catch {
    // Taken from us, because this machine stood still for long; the other one installs then.
  }
}

async function install() {
  process.stderr.write("installing (about 30 s, first time only)");
  const startedAt = Date.now();
  const ticks = setInterval(() => {
    beat();
    const seconds = Math.round((Date.now() - startedAt) / 1_000);
    if (seconds % 5 === 0) process.stderr.write(` ${seconds}s`);
  }, TICK_MS);
  // Whatever NODE_ENV and npm's own settings say: the development dependencies are what runs here.
  const npm = await output("npm", [
    "ci",
    "--include=dev",
    "--include=optional",
    "--loglevel=error",
    "--no-fund",
    "--no-audit",
  ]);
  clearInterval(ticks);
  process.stderr.write("\n");
  if (npm.code !== 0) {
    return `${npm.text.trim().split("\n").slice(0, SHOWN_LINES).join("\n")}\n\nnpm ci failed (exit code ${npm.code}). It needs the package registry and about 0.6 GB of disk; see above what it says, then run the same command again.`;
  }
  if (!pinnedNodeRuns()) {
    return `The pinned Node is not at ${PINNED_NODE} or does not run on this machine. If install scripts are switched off (npm config get ignore-scripts), switch them on for this folder and run the same command again.`;
  }
  writeFileSync(STAMP, lockHash());
  return null;
}

/** Runs a command quietly; its whole output is kept for the case that it fails. A signal to us ends it too. */
function output(command, args) {
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      shell: process.platform === "win32",
    });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.stderr.on("data", (chunk) => (text += chunk));
    const give = (signal) => {
      child.kill(signal);
      rmSync(INSTALL_LOCK, { recursive: true, force: true });
      process.exit(128 + constants.signals[signal]);
    };
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    for (const signal of signals) process.once(signal, give);
    const end = (code, why) => {
      for (const signal of signals) process.off(signal, give);
      done({ code, text: text + why });
    };
    child.once("error", (error) => end(127, error.message));
    child.once("close", (code) => end(code ?? 1, ""));
  });
}

/** Runs the script in our place: our terminal, our signals, our exit code. */
function run(script, args) {
  const path = [join(MODULES, ".bin"), process.env.PATH].join(delimiter);
  // The extra channel tells the script when we are killed and can pass no signal on.
  const child = spawn(PINNED_NODE, [resolve(ROOT, script), ...args], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env: { ...process.env, PATH: path },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  const watch = watchParent(() => child.kill("SIGTERM"));
  child.once("error", (error) => fail(`${PINNED_NODE} cannot be started: ${error.message}`, 1));
  child.once("exit", (code, signal) => {
    clearInterval(watch);
    process.exit(signal === null ? code : 128 + constants.signals[signal]);
  });
}

/** npm does not pass every signal on to what it runs; when npm is gone, nobody will. */
function watchParent(whenGone) {
  if (process.env.npm_lifecycle_event === undefined) return undefined;
  const before = runners();
  return setInterval(() => runners() !== before && whenGone(), TICK_MS);
}

/** Who runs us: npm itself, or a shell that npm started and that does not notice when npm is gone. */
function runners() {
  const parent = process.ppid;
  const isShell = textOf(`/proc/${parent}/comm`)?.trim() === "sh";
  const grandparent = isShell ? textOf(`/proc/${parent}/stat`)?.split(") ").at(-1)?.split(" ")[1] : "";
  return `${parent} ${grandparent}`;
}

function textOf(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}
