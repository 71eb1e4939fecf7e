/** Jobs and their runs as text for a person: the figures that one looks for first; `--json` has them all. Pure. */
import { z } from "zod";
import { minute, table } from "../gateway/table.ts";

const document = z.record(z.string(), z.unknown());

const lastRun = z.object({
  period_start: z.string(),
  period_end: z.string(),
  state: z.string(),
  started_at: z.string(),
  finished_at: z.string().nullable(),
  reason: z.string().nullable(),
});

export const jobList = z.object({
  data: z.array(
    z.object({ name: z.string(), does: z.string(), next_run_at: z.string(), last_run: lastRun.nullable() }),
  ),
});

export const jobRun = z.object({
  name: z.string(),
  period_start: z.string(),
  period_end: z.string(),
  attempt: z.number(),
  took_ms: z.number(),
  result: document,
  report: document.nullable(),
});

/** Of each job's report: lists by name, and the members to show of each entry. */
const SHOWN: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  "business-report": {
    by_model: [
      "model",
      "requests",
      "users",
      "errors",
      "prompt_tokens",
      "completion_tokens",
      "cost_micros",
      "saved_tokens",
    ],
    by_tenant: [
      "tenant",
      "requests",
      "users",
      "errors",
      "prompt_tokens",
      "completion_tokens",
      "cost_micros",
      "saved_tokens",
    ],
  },
  capacity: {
    hosts: ["host", "slots", "up_share", "busy_slots", "available_slots", "exhausted_on", "reason"],
    models: ["model", "hosts", "busy_slots", "available_slots", "exhausted_on", "reason"],
  },
  "model-performance": {
    models: [
      ...["model", "host", "requests", "error_rate", "ttft_p50_ms", "ttft_p95_ms", "ttft_p99_ms"],
      ...["latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "tokens_per_second"],
    ],
  },
  reconcile: {
    accounts: ["account", "difference.requests", "difference.prompt_tokens", "difference.completion_tokens", "reason"],
    hosts: ["host", "requests", "difference.prompt_tokens", "difference.completion_tokens", "reason"],
  },
};

/** The jobs, one per line. */
export function jobTable({ data }: z.infer<typeof jobList>): string {
  const rows = data.map(({ name, does, next_run_at, last_run }) => {
    const [period, state] = last_run === null ? ["-", "never ran"] : [minute(last_run.period_start), stateOf(last_run)];
    return [name, period, state, minute(next_run_at), does];
  });
  return table(["JOB", "LAST PERIOD", "STATE", "NEXT RUN", "WHAT IT DOES"], rows);
}

function stateOf({ state, started_at, finished_at, reason }: z.infer<typeof lastRun>): string {
  if (state === "failed") return `failed: ${reason}`;
  if (finished_at === null) return `${state} since ${minute(started_at)}`;
  return `${state} in ${seconds(Date.parse(finished_at) - Date.parse(started_at))}`;
}

/** What came of a run: its figures, and the lists of its report that hold anything. */
export function runText({ name, period_start, period_end, took_ms, result, report }: z.infer<typeof jobRun>): string {
  const parts = [`${name}, ${minute(period_start)} to ${minute(period_end)}: done in ${seconds(took_ms)}`];
  const figures = Object.entries(result).filter(([, value]) => typeof value !== "object" || value === null);
  if (figures.length > 0)
    parts.push(
      table(
        ["", ""],
        figures.map(([key, value]) => [key, cell(value)]),
      ).trimStart(),
    );
  for (const [list, members] of Object.entries(SHOWN[name] ?? {})) {
    const entries = z.array(document).safeParse(report?.[list]);
    if (!entries.success || entries.data.length === 0) continue;
    const rows = entries.data.map((entry) => members.map((member) => cell(memberOf(entry, member))));
    parts.push(`${list}\n${table(members, rows)}`);
  }
  return parts.join("\n\n");
}

/** A member, or one of a member's: `difference.requests`. */
function memberOf(entry: Readonly<Record<string, unknown>>, path: string): unknown {
  return path.split(".").reduce<unknown>((inner, member) => document.safeParse(inner).data?.[member], entry);
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (Array.isArray(value)) return value.map(cell).join(",");
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(3))) : String(value);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
