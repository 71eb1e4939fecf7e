/** What a queue message turns out to hold. Pure; never throws, whatever a message holds. */
import { z } from "zod";
import { type UsageEvent, usageEvent } from "./event.ts";

type Known = { readonly kind: "event"; readonly event: UsageEvent; readonly outbox: string | null };
type Unknown = {
  readonly kind: "unknown";
  /** Of the event, as far as it has one. */
  readonly id: string | null;
  readonly outbox: string | null;
  readonly reason: string;
};

/** The hex id of a Durable Object. */
const outboxId = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .nullable();
const message = z.object({ event: usageEvent, outbox: outboxId });
/** Longer than any id, and short enough for an index. */
const traces = z.object({
  event: z.object({ id: z.string().min(1).max(128).nullable().catch(null) }).catch({ id: null }),
  outbox: outboxId.catch(null),
});

/** The event and the outbox it came from; or, of a message that holds none, what can be told of it. */
export function readMessage(body: unknown): Known | Unknown {
  const read = message.safeParse(body);
  if (read.success) return { kind: "event", ...read.data };
  const [issue] = read.error.issues;
  const found = traces.safeParse(body);
  return {
    kind: "unknown",
    id: found.data?.event.id ?? null,
    outbox: found.data?.outbox ?? null,
    reason: `not an event of a known kind and version: ${issue?.path.join(".")}: ${issue?.message}`,
  };
}

/** The body as JSON, for the record. A queue also carries what JSON cannot say: of that, as much as it can. */
export function bodyText(body: unknown): string {
  try {
    return JSON.stringify(body, (_, value) => (typeof value === "bigint" ? String(value) : value)) ?? "null";
  } catch {
    // In a circle, or too deep: then its name, which is what it is asked for, may be too.
    return JSON.stringify("a body that cannot be written as JSON");
  }
}
