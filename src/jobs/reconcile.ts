/**
 * Holds the ledger against what others counted: accounts their own requests of the day, engines their tokens since the
 * look before. Differences are reported and never mended here.
 */
import { DAY_MS, dayOf, HOUR_MS } from "./calendar.ts";
import type { Job, JobWorld, Outcome } from "./job.ts";
import { askAccounts, compareAccounts } from "./reconcile-accounts.ts";
import { compareEngine, lookAtEngines, looksBefore } from "./reconcile-engines.ts";
import type { Period } from "./schedule.ts";

/** What was settled when engines were asked is in the ledger by then: an outbox waits a second, the queue another. */
const SETTLES_WITHIN_MS = 5_000;

export const reconcile: Job = {
  name: "reconcile",
  does: "ledger against accounts' totals and engines' counters",
  // Accounts keep their totals for eight days.
  schedule: { everyMs: DAY_MS, anchorMs: 0, afterMs: HOUR_MS, catchUp: 7 },
  work,
};

async function work(world: JobWorld, period: Period): Promise<Outcome> {
  const sights = await lookAtEngines(world);
  const said = await askAccounts(world, period);
  await world.wait(SETTLES_WITHIN_MS);
  const before = await looksBefore(world, reconcile.name, period.startMs);
  const hosts = [];
  // One connection: one question after the other.
  for (const sight of sights) hosts.push(await compareEngine(world, sight, before.get(sight.host.id) ?? null));
  const accounts = await compareAccounts(world, period, said);

  const differing = hosts.filter(({ difference }) => Object.values(difference ?? {}).some((value) => value !== 0));
  const result = {
    day: dayOf(period.startMs),
    accounts_asked: accounts.asked,
    accounts_differing: accounts.differing,
    accounts_unanswered: accounts.unanswered,
    accounts_left_out: accounts.leftOut,
    hosts_compared: hosts.filter(({ reason }) => reason === null).length,
    hosts_differing: differing.length,
    hosts_unknown: hosts.filter(({ reason }) => reason !== null).length,
  };
  if (accounts.differing > 0 || differing.length > 0) {
    const differences = differing.map(({ host, difference }) => ({ host, ...difference }));
    console.error(JSON.stringify({ at: "jobs.reconcile", ...result, hosts: differences }));
  }
  return { result, report: { ...result, accounts: accounts.listed, hosts } };
}
