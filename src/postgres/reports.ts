/** `reports`: what jobs found, a document for each kind and period. A run's own report is written by `job-runs.ts`. */
import { z } from "zod";
import { at, ms } from "./milliseconds.ts";
import type { Session } from "./session.ts";

export type Report = {
  readonly startMs: number;
  readonly endMs: number;
  readonly body: unknown;
};

const COLUMNS = `
  ${ms("period_start")} AS "startMs", ${ms("period_end")} AS "endMs", body`;
const row = z.object({ startMs: z.number(), endMs: z.number(), body: z.unknown() });

const ONE = `
  SELECT ${COLUMNS} FROM reports WHERE kind = $1 AND period_start = ${at("$2")}`;

/** The report of a period, or null. */
export async function readReport(session: Session, kind: string, startMs: number): Promise<Report | null> {
  const { rows } = await session.query(ONE, [kind, startMs]);
  return z.array(row).parse(rows)[0] ?? null;
}

const BEFORE = `
  SELECT ${COLUMNS} FROM reports WHERE kind = $1 AND period_start < ${at("$2")}
  ORDER BY period_start DESC LIMIT 1`;

/** The newest report of a period before a time, or null. */
export async function readReportBefore(session: Session, kind: string, beforeMs: number): Promise<Report | null> {
  const { rows } = await session.query(BEFORE, [kind, beforeMs]);
  return z.array(row).parse(rows)[0] ?? null;
}

const CORRECT = `
  UPDATE reports AS r SET body = $3::jsonb, created_at = now()
  FROM reports AS old
  WHERE r.kind = $1 AND r.period_start = ${at("$2")}
    AND old.kind = r.kind AND old.period_start = r.period_start
  RETURNING old.body IS DISTINCT FROM r.body AS differs`;

/** Puts another body in the place of a report's. @returns whether it differs */
export async function correctReport(session: Session, kind: string, startMs: number, body: object): Promise<boolean> {
  const { rows } = await session.query<{ differs: boolean }>(CORRECT, [kind, startMs, JSON.stringify(body)]);
  return rows[0]?.differs ?? false;
}
