/** Usage for tests: events written as the consumer writes them, rolled up as the job does, and summed up by hand. */
import { env } from "cloudflare:workers";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import { inSession } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import { reckonDay } from "#src/postgres/usage-day.ts";
import type { InferenceEvent } from "#src/usage/event.ts";

/** Into the ledger; the table's trigger sums them up by the minute. */
export async function record(...events: InferenceEvent[]): Promise<void> {
  await inSession(env.HYPERDRIVE.connectionString, (session) =>
    transact(session, "causeway_writer", [inferenceLogsInsert(events, Date.now())]),
  );
}

/** Makes `usage_day` of the events' days, as the job does. */
export async function rollUp(...events: InferenceEvent[]): Promise<void> {
  const days = new Set(events.map(({ atMs }) => dayOf(atMs)));
  await inSession(env.HYPERDRIVE.connectionString, async (session) => {
    for (const day of days) await reckonDay(session, day);
  });
}

export const dayOf = (atMs: number): string => new Date(atMs).toJSON().slice(0, 10);

const LABELS: Record<string, (event: InferenceEvent) => string | null> = {
  day: ({ atMs }) => dayOf(atMs),
  account: ({ account }) => account,
  user: ({ userId }) => userId,
  tenant: ({ tenant }) => tenant,
  key: ({ keyId }) => keyId,
  model: ({ model }) => model,
  host: ({ host }) => host,
};
export const GROUPS = Object.keys(LABELS);

type Sums = Record<string, number | null>;

/** What the rows of an answer should be, in any order. */
export function grouped(events: readonly InferenceEvent[], groupBy: readonly string[]): Record<string, unknown>[] {
  const groups = Map.groupBy(events, (event) => JSON.stringify(groupBy.map((group) => LABELS[group]?.(event))));
  return [...groups.values()].map((members) => {
    const [first] = members;
    const labels = groupBy.map((group) => [group, first === undefined ? null : LABELS[group]?.(first)]);
    return { ...Object.fromEntries(labels), ...summed(members) };
  });
}

/** What the sums of these events should be. */
export function summed(events: readonly InferenceEvent[]): Sums {
  const count = (fits: (event: InferenceEvent) => boolean): number => events.filter(fits).length;
  const total = (of: (event: InferenceEvent) => number | null): number =>
    events.reduce((sum, event) => sum + (of(event) ?? 0), 0);
  const unpriced = count(({ costMicros }) => costMicros === null);
  return {
    requests: events.length,
    errors: count(({ outcome }) => outcome === "upstream_error" || outcome === "abandoned"),
    cached_requests: count(({ cache }) => cache === "hit"),
    estimated_requests: count(({ estimated }) => estimated),
    unpriced_requests: unpriced,
    prompt_tokens: total(({ promptTokens }) => promptTokens),
    completion_tokens: total(({ completionTokens }) => completionTokens),
    cached_tokens: total(({ cachedTokens }) => cachedTokens),
    saved_tokens: total(({ savedTokens }) => savedTokens),
    total_tokens: total(({ promptTokens, completionTokens }) => promptTokens + completionTokens),
    cost_micros: unpriced === events.length ? null : total(({ costMicros }) => costMicros),
  };
}
