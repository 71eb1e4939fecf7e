/** When a storm is over: everything is where it belongs and stands still. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Facts } from "./judge.ts";
import type { Ledger } from "./records.ts";

/** What can be seen while the stack runs. */
export type Seen = Omit<Facts, "truth">;

const LOOK_EVERY_MS = 1_000;
/** What is on record must have stood still for so long. */
const STILL_MS = 5_000;
/** What the queue lost with a killed Worker is told again, as any producer would that hears of no success. */
const TELL_AGAIN_MS = 10_000;

/**
 * Waits for quiet, or until the time is over.
 *
 * @param look what it throws counts as nothing seen, but for the last look
 * @param tellAgain gets the ids of messages that are no dead letters yet
 */
export async function quiet(
  look: () => Promise<Seen>,
  withinMs: number,
  tellAgain: (missing: ReadonlySet<string>) => Promise<unknown>,
  signal: AbortSignal,
): Promise<Seen> {
  const endMs = Date.now() + withinMs;
  let toldAtMs = Date.now();
  let still = { rows: -1, sinceMs: 0 };
  for (;;) {
    const isTime = Date.now() > endMs;
    const seen = await look().catch((failure: unknown) => {
      if (isTime) throw failure;
      return null;
    });
    await sleep(LOOK_EVERY_MS, undefined, { signal });
    if (seen === null) continue;
    const rows = seen.ledger.rows.length;
    if (rows !== still.rows) still = { rows, sinceMs: Date.now() };
    const missing = missingPoison(seen.poison, seen.ledger);
    const isQuiet = isComplete(seen) && missing.size === 0 && Date.now() - still.sinceMs >= STILL_MS;
    if (isQuiet || isTime) return seen;
    if (missing.size > 0 && Date.now() - toldAtMs >= TELL_AGAIN_MS) {
      toldAtMs = Date.now();
      await tellAgain(missing);
    }
  }
}

function isComplete({ sent, ledger, accounts }: Seen): boolean {
  const entered = new Set(ledger.rows.map((row) => row.question));
  return (
    accounts.openLeases === 0 &&
    accounts.unacknowledged === 0 &&
    sent.every(({ status, question }) => status !== 200 || entered.has(question.number))
  );
}

function missingPoison(poison: readonly string[], { deadLetters }: Ledger): Set<string> {
  const letters = new Set(deadLetters);
  return new Set(poison.filter((id) => !letters.has(id)));
}
