/**
 * How full hosts are, where that is going, and on which day they would be full. A host works on `slots` requests at
 * once; the time that requests took, summed over a day, says how many of them were taken on average. A day's busiest
 * hour is fuller than its average, so the day given is the latest by which something has to be done.
 */
import { type DailyLoad, readDailyLoad, readUptime, type Uptime } from "#src/postgres/daily-load.ts";
import { DAY_MS, dayOf, HOUR_MS, MINUTE_MS, startOfDayMs } from "./calendar.ts";
import type { Job, JobWorld, Outcome } from "./job.ts";
import type { Period } from "./schedule.ts";
import { exhaustionOf, trendOf } from "./trend.ts";

/** Each weekday counts alike. */
const WINDOW_DAYS = 28;
/** With a host's state known for less, what is known of its up-time is chance. */
const FEWEST_KNOWN_MS = DAY_MS;

export const capacity: Job = {
  name: "capacity",
  does: "trend of load and projected exhaustion of hosts and models",
  schedule: { everyMs: DAY_MS, anchorMs: 0, afterMs: HOUR_MS + 30 * MINUTE_MS, catchUp: 7 },
  work,
};

async function work({ session }: JobWorld, period: Period): Promise<Outcome> {
  // A day that is not over would look like a fall.
  const untilMs = startOfDayMs(period.endMs);
  const days = Array.from({ length: WINDOW_DAYS }, (_, at) => dayOf(untilMs - (WINDOW_DAYS - at) * DAY_MS));
  const [firstDay = "", lastDay = ""] = [days[0], days.at(-1)];
  const load = await readDailyLoad(session, firstDay, lastDay);
  const uptimes = await readUptime(session, untilMs - WINDOW_DAYS * DAY_MS, untilMs);
  const report = capacityOf(days, load, uptimes);
  const nearest = [...report.hosts, ...report.models].flatMap(({ exhausted_on }) => exhausted_on ?? []).sort()[0];
  const result = { from: firstDay, to: lastDay, hosts: report.hosts.length, models: report.models.length };
  return { result: { ...result, first_exhausted_on: nearest ?? null }, report: { ...result, ...report } };
}

/**
 * The report's figures. Pure.
 *
 * @param days the window's, oldest first, `YYYY-MM-DD`
 */
export function capacityOf(days: readonly string[], load: readonly DailyLoad[], uptimes: readonly Uptime[]) {
  const worked = load.filter(({ host }) => host !== "");
  const hosts = namesOf(worked.map(({ host }) => host)).map((host) => {
    const available = slotsOf(uptimes, [host]);
    const own = worked.filter((row) => row.host === host);
    return { host, ...uptimeShown(uptimes, host), ...outlook(days, own, own, available) };
  });
  const models = namesOf(load.map(({ model }) => model)).map((model) => {
    const own = load.filter((row) => row.model === model);
    const its = namesOf(own.map(({ host }) => host).filter((host) => host !== ""));
    // A model is exhausted when the hosts that serve it are, whoever fills them.
    const shared = worked.filter(({ host }) => its.includes(host));
    return { model, hosts: its, ...outlook(days, own, shared, slotsOf(uptimes, its)) };
  });
  return { hosts, models };
}

/** @param own what is counted @param shared what takes the slots @param available null when that is not known */
function outlook(
  days: readonly string[],
  own: readonly DailyLoad[],
  shared: readonly DailyLoad[],
  available: number | null,
) {
  const busy = trendOf(series(days, shared, ({ busyMs }) => busyMs / DAY_MS));
  const exhaustion = exhaustionOf(busy, available);
  const lastMs = Date.parse(days.at(-1) ?? "");
  return {
    days: series(days, own, () => 0).length,
    // By the trend, on the last day.
    busy_slots: busy?.level ?? null,
    available_slots: available,
    exhausted_on: "inDays" in exhaustion ? dayOf(lastMs + exhaustion.inDays * DAY_MS) : null,
    reason: "unknown" in exhaustion ? exhaustion.unknown : null,
    trends: {
      requests_per_day: shownTrend(series(days, own, ({ requests }) => requests)),
      tokens_per_day: shownTrend(series(days, own, ({ tokens }) => tokens)),
      busy_slots: shownTrend(series(days, shared, ({ busyMs }) => busyMs / DAY_MS)),
    },
  };
}

/** A figure for each day from the first that has any: before that there was no such host or model. */
function series(
  days: readonly string[],
  load: readonly DailyLoad[],
  figure: (row: DailyLoad) => number,
): readonly number[] {
  const sums = new Map<string, number>();
  for (const row of load) sums.set(row.day, (sums.get(row.day) ?? 0) + figure(row));
  const first = days.findIndex((day) => sums.has(day));
  return first === -1 ? [] : days.slice(first).map((day) => sums.get(day) ?? 0);
}

function shownTrend(values: readonly number[]) {
  const trend = trendOf(values);
  const mean = values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, growth: trend?.perDay ?? null, growth_error: trend?.perDayError ?? null, last: trend?.level ?? null };
}

/** Slots that hosts have on average, being up as much as they were; null when that is not known of each of them. */
function slotsOf(uptimes: readonly Uptime[], hosts: readonly string[]): number | null {
  const known = uptimes.filter(({ host, knownMs }) => hosts.includes(host) && knownMs >= FEWEST_KNOWN_MS);
  if (known.length === 0 || known.length < hosts.length) return null;
  return known.reduce((sum, { slots, upMs, knownMs }) => sum + (slots * upMs) / knownMs, 0);
}

function uptimeShown(uptimes: readonly Uptime[], name: string) {
  const uptime = uptimes.find(({ host }) => host === name);
  if (uptime === undefined || uptime.knownMs === 0)
    return { slots: uptime?.slots ?? null, up_share: null, known_hours: 0 };
  const { slots, upMs, knownMs } = uptime;
  return { slots, up_share: upMs / knownMs, known_hours: knownMs / HOUR_MS };
}

function namesOf(names: readonly string[]): string[] {
  return [...new Set(names)].sort();
}
