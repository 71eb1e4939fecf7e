/** The ledger against accounts: what each one counted of its own requests of a day, and what the ledger has of them. */
import {
  type LedgerTotals,
  readActiveAccounts,
  readKeyOwners,
  readTotalsByAccount,
} from "#src/postgres/ledger-totals.ts";
import { DAY_MS, dayOf } from "./calendar.ts";
import type { JobWorld } from "./job.ts";
import type { Period } from "./schedule.ts";

/** An account all of whose rows of a day were lost is known by those of the week before. */
const ACTIVE_WITHIN_MS = 7 * DAY_MS;
/** The platform allows a thousand calls per invocation; hosts and the database need some. */
const MAX_ASKED = 900;
const AT_ONCE = 20;
/** What is listed one by one; all are counted. */
const MAX_LISTED = 200;

const NOTHING: LedgerTotals = { requests: 0, promptTokens: 0, completionTokens: 0 };

/** Of rows from before accounts were recorded; there is nobody to ask. */
const NOBODY = "";

type Answer = { readonly account: string; readonly own: LedgerTotals | null; readonly reason: string | null };

/**
 * Asks accounts, and compares. Differences are what the ledger has more.
 *
 * Asked are those that the ledger knows of the day, then those that sent something in the week before, then the owners
 * of API keys: rows that were lost altogether leave no name.
 */
export async function reconcileAccounts(world: JobWorld, period: Period) {
  const { session, accountOfKey } = world;
  const { startMs, endMs } = period;
  const ledger = await readTotalsByAccount(session, startMs, endMs);
  const active = await readActiveAccounts(session, startMs - ACTIVE_WITHIN_MS, endMs);
  const owners = await readKeyOwners(session, endMs);
  const known = new Set([...ledger.keys(), ...active, ...owners.map(accountOfKey)]);
  known.delete(NOBODY);
  const asked = [...known].slice(0, MAX_ASKED);
  const answers = await askAll(world, asked, dayOf(startMs));
  const compared = answers.map(({ account, own, reason }) => {
    const entered = ledger.get(account) ?? NOTHING;
    const difference = own === null ? null : shown(minus(entered, own));
    return { account, ledger: shown(entered), own: own === null ? null : shown(own), difference, reason };
  });
  const differing = compared.filter(({ difference }) => Object.values(difference ?? {}).some((value) => value !== 0));
  const unanswered = compared.filter(({ own }) => own === null);
  return {
    asked: asked.length,
    differing: differing.length,
    unanswered: unanswered.length,
    leftOut: known.size - asked.length,
    listed: [...differing, ...unanswered].slice(0, MAX_LISTED),
  };
}

async function askAll({ totalsOf }: JobWorld, accounts: readonly string[], day: string): Promise<Answer[]> {
  const ask = (account: string): Promise<Answer> =>
    totalsOf(account).then(
      (totals) => ({ account, own: totals[day] ?? NOTHING, reason: null }),
      (cause: unknown) => ({ account, own: null, reason: String(cause) }),
    );
  const answers: Answer[] = [];
  for (let at = 0; at < accounts.length; at += AT_ONCE)
    answers.push(...(await Promise.all(accounts.slice(at, at + AT_ONCE).map(ask))));
  return answers;
}

function minus(one: LedgerTotals, other: LedgerTotals): LedgerTotals {
  return {
    requests: one.requests - other.requests,
    promptTokens: one.promptTokens - other.promptTokens,
    completionTokens: one.completionTokens - other.completionTokens,
  };
}

function shown({ requests, promptTokens, completionTokens }: LedgerTotals) {
  return { requests, prompt_tokens: promptTokens, completion_tokens: completionTokens };
}
