/** Hands batches to the consumer as the platform does, and tells its verdict on each message. */
import { env } from "cloudflare:workers";
import { consume, consumeExhausted } from "#src/usage/consume.ts";

export const NOW_MS = 1_790_000_009_000;

/** One message: what it holds as it is, or an event in the envelope that senders use. */
export type Sent = { readonly id?: string; readonly attempts?: number } & (
  | { readonly body: unknown }
  | { readonly event: unknown; readonly outbox?: string }
);

export type Platform = {
  readonly database?: string;
  /** Reads what the other consumer gave up. */
  readonly exhausted?: boolean;
  readonly acknowledge?: (outbox: string, ids: readonly string[]) => Promise<void>;
  readonly random?: () => number;
};

/** The verdict on each message, by its name (`m0`, `m1`, …), and what the outboxes were told. */
export async function deliver(sent: readonly Sent[], platform: Platform = {}) {
  const { database = env.HYPERDRIVE.connectionString, exhausted = false, acknowledge, random = () => 0 } = platform;
  const verdicts = new Map<string, number | "acked">();
  const told: Record<string, string[]> = {};
  const messages = sent.map((one, at) => {
    const name = one.id ?? `m${at}`;
    // As on the platform, the first call on a message counts.
    const decide = (verdict: number | "acked"): void => {
      if (!verdicts.has(name)) verdicts.set(name, verdict);
    };
    const body = "body" in one ? one.body : { event: one.event, outbox: one.outbox ?? null };
    return {
      id: name,
      // A queue carries what was serialised.
      body: structuredClone(body),
      attempts: one.attempts ?? 1,
      ack: () => decide("acked"),
      retry: (options: { readonly delaySeconds: number }) => decide(options.delaySeconds),
    };
  });
  const hear = async (outbox: string, ids: readonly string[]): Promise<void> => {
    told[outbox] = [...(told[outbox] ?? []), ...ids].sort();
    await acknowledge?.(outbox, ids);
  };
  await (exhausted ? consumeExhausted : consume)(
    { queue: exhausted ? "usage-dlq" : "usage", messages },
    { connectionString: database, acknowledge: hear, now: () => NOW_MS, random },
  );
  const named = (wanted: (verdict: unknown) => boolean): string[] =>
    messages.map(({ id }) => id).filter((id) => wanted(verdicts.get(id)));
  return {
    acked: named((verdict) => verdict === "acked"),
    retried: named((verdict) => typeof verdict === "number"),
    delaysS: messages.map(({ id }) => verdicts.get(id)).filter((verdict) => typeof verdict === "number"),
    told,
  };
}
