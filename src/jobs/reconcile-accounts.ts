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

/** What accounts said before the ledger was read, and how many were not asked. */
export type FirstAnswers = { readonly answers: readonly Answer[]; readonly leftOut: number };

/**
 * Asks accounts what they counted.
 *
 * Asked are those that the ledger knows of the day or of the week before, then the owners of API keys: rows that were
 * lost altogether leave no name.
 */
export async function askAccounts(world: JobWorld, { startMs, endMs }: Period): Promise<FirstAnswers> {
  const { session, accountOfKey } = world;
  const active = await readActiveAccounts(session, startMs - ACTIVE_WITHIN_MS, endMs);
  const owners = await readKeyOwners(session, endMs);
  const known = new Set([...active, ...owners.map(accountOfKey)]);
  known.delete(NOBODY);
  const asked = [...known].slice(0, MAX_ASKED);
  return { answers: await askAll(world, asked, dayOf(startMs)), leftOut: known.size - asked.length };
}

/**
 * Compares what accounts said with the ledger, which had time to hear of it meanwhile. Differences are what the ledger has
 * more. Requests go on while this runs, so accounts that seem to differ are asked once more: what lies between their two
 * answers is no difference.
 */
export async function compareAccounts(world: JobWorld, { startMs, endMs }: Period, first: FirstAnswers) {
  const ledger = await readTotalsByAccount(world.session, startMs, endMs);
  const earlier = new Map(first.answers.map((answer) => [answer.account, answer]));
  const late = [...ledger.keys()].filter((account) => account !== NOBODY && !earlier.has(account));
  const entered = (account: string): LedgerTotals => ledger.get(account) ?? NOTHING;
  const suspects = first.answers.filter(({ account, own }) => own !== null && !isNothing(minus(entered(account), own)));
  const room = Math.max(0, MAX_ASKED - first.answers.length);
  const again = [...suspects.map(({ account }) => account), ...late].slice(0, room);
  const later = new Map((await askAll(world, again, dayOf(startMs))).map((answer) => [answer.account, answer]));
  const compared = [...first.answers, ...late.flatMap((account) => later.get(account) ?? [])].map((answer) => {
    const { account, own } = answer;
    const last = later.get(account)?.own ?? own;
    const difference = own === null || last === null ? null : shown(beyond(entered(account), own, last));
    return {
      account,
      ledger: shown(entered(account)),
      own: own === null ? null : shown(own),
      difference,
      reason: answer.reason,
    };
  });
  const differing = compared.filter(({ difference }) => Object.values(difference ?? {}).some((value) => value !== 0));
  const unanswered = compared.filter(({ own }) => own === null);
  return {
    asked: compared.length,
    differing: differing.length,
    unanswered: unanswered.length,
    leftOut: first.leftOut,
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

/** How far the ledger's figures lie outside of what an account said first and last. */
function beyond(entered: LedgerTotals, first: LedgerTotals, last: LedgerTotals): LedgerTotals {
  const outside = (value: number, one: number, other: number): number =>
    value - Math.min(Math.max(value, Math.min(one, other)), Math.max(one, other));
  return {
    requests: outside(entered.requests, first.requests, last.requests),
    promptTokens: outside(entered.promptTokens, first.promptTokens, last.promptTokens),
    completionTokens: outside(entered.completionTokens, first.completionTokens, last.completionTokens),
  };
}

function isNothing(totals: LedgerTotals): boolean {
  return Object.values(totals).every((value) => value === 0);
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
