/**
 * What each hour came to for the business. Events may come late, so a run also corrects the reports of hours before
 * whose usage has changed since they were made.
 */
import { type BusinessFigures, readBusinessFigures, readStaleReports } from "#src/postgres/business-figures.ts";
import { correctReport } from "#src/postgres/reports.ts";
import { HOUR_MS, MINUTE_MS } from "./calendar.ts";
import type { Job, JobWorld, Outcome } from "./job.ts";
import type { Period } from "./schedule.ts";

/** How far back reports are corrected, and made where they are missing. */
const HOURS_BACK = 72;

export const businessReport: Job = {
  name: "business-report",
  does: "requests, users, tokens, cost and errors, by tenant and model",
  // A request may take ten minutes, and is dated by its arrival; what comes later corrects the report.
  schedule: { everyMs: HOUR_MS, anchorMs: 0, afterMs: 5 * MINUTE_MS, catchUp: HOURS_BACK },
  work,
};

async function work({ session }: JobWorld, period: Period): Promise<Outcome> {
  const report = reportOf(await readBusinessFigures(session, period.startMs, period.endMs));
  const corrected: string[] = [];
  const stale = await readStaleReports(session, businessReport.name, period.startMs - HOURS_BACK * HOUR_MS);
  for (const { startMs, endMs } of stale.filter((old) => old.startMs !== period.startMs)) {
    const body = reportOf(await readBusinessFigures(session, startMs, endMs));
    if (await correctReport(session, businessReport.name, startMs, body))
      corrected.push(new Date(startMs).toISOString());
  }
  return { result: { ...report.total, corrected_hours: corrected.length, corrected }, report };
}

function reportOf(figures: readonly BusinessFigures[]) {
  const grouped = (by: number) => figures.filter((row) => row.grouped === by);
  return {
    total: grouped(3).map(shown)[0] ?? {},
    by_tenant: grouped(1).map((row) => ({ tenant: row.tenant || null, ...shown(row) })),
    by_model: grouped(2).map((row) => ({ model: row.model, ...shown(row) })),
    by_tenant_and_model: grouped(0).map((row) => ({ tenant: row.tenant || null, model: row.model, ...shown(row) })),
  };
}

/** The cost is that of the requests with a price; where there is none with one, it is unknown and not 0. */
function shown(row: BusinessFigures) {
  const { grouped: _grouped, tenant: _tenant, model: _model, cost_micros, ...counts } = row;
  const isUnknown = row.requests > 0 && row.unpriced_requests >= row.requests;
  return {
    ...counts,
    error_rate: row.requests === 0 ? null : row.errors / row.requests,
    cost_micros: isUnknown ? null : cost_micros,
  };
}
