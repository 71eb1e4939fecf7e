// Silence: so many failures in a row, and neither a short stop, nor a delay of our own, nor a broken build.
import { expect, it } from "vitest";
import { fallsSilent } from "#scripts/stack/liveness.ts";
import { waitsForSources } from "#scripts/stack/worker.ts";

const RHYTHM = { everyMs: 1, limitMs: 20, failures: 3 };

/** A part that answers (`+`), refuses (`-`), hangs (`~`) or finds this process held up (`z`); after that the watch ends. */
async function watched(answers: string): Promise<{ silent: boolean; asked: number }> {
  const end = new AbortController();
  let asked = 0;
  const silent = await fallsSilent(
    (signal) => {
      const answer = answers[asked];
      asked += 1;
      if (answer === undefined) end.abort();
      if (answer === "+") return Promise.resolve();
      if (answer === "-" || answer === undefined) return Promise.reject(new Error("refused"));
      if (answer === "z") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_100);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    },
    RHYTHM,
    end.signal,
  );
  return { silent, asked };
}

it.each([
  ["---", { silent: true, asked: 3 }],
  ["~~~", { silent: true, asked: 3 }],
  ["+++-~-", { silent: true, asked: 6 }],
  ["--+--+--", { silent: false, asked: 9 }],
  ["~~+~~", { silent: false, asked: 6 }],
  ["-z-", { silent: false, asked: 4 }],
  ["", { silent: false, asked: 1 }],
])("%j", async (answers, outcome) => {
  expect(await watched(answers)).toEqual(outcome);
});

it("asks nothing more once the watch has ended", async () => {
  let asked = 0;
  const count = async () => {
    asked += 1;
  };
  expect(await fallsSilent(count, RHYTHM, AbortSignal.abort())).toBe(false);
  expect(asked).toBe(0);
});

const BROKEN = "\u001b[31m✘ [ERROR]\u001b[0m Build failed with 1 error:\n  Expected identifier\n";
const RELOADED = "⎔ Reloading local server...\n⎔ Local server updated and ready\n";
const CRASHED = "[wrangler:warn] The Workers runtime crashed unexpectedly and is being restarted (crash #1).\n";

it.each([
  ["", false],
  [RELOADED, false],
  [CRASHED, false],
  [BROKEN, true],
  [RELOADED + BROKEN, true],
  [BROKEN + BROKEN, true],
  [BROKEN + RELOADED, false],
  [BROKEN + RELOADED + CRASHED, false],
])("wrangler waits for the sources to be mended after %j: %j", (log, waits) => {
  expect(waitsForSources(log)).toBe(waits);
});
