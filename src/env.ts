/**
 * What the platform hands the Worker, checked once. A missing binding or secret makes every request answer 503
 * `misconfigured` with the field's name in the log, never a silent default.
 */
import { z } from "zod";
import type { Ticket } from "./auth/ticket.do.ts";
import type { BatchCall, Batches } from "./batches/batches.do.ts";
import type { Fleet } from "./fleet/fleet.do.ts";
import type { ChatSocket } from "./ingress/chat-socket.do.ts";
import type { Resumable } from "./ingress/resumable/resumable.do.ts";
import type { JobMessage } from "./jobs/enqueue.ts";
import type { Account } from "./limits/account.do.ts";
import type { Tenant } from "./limits/tenant.do.ts";
import type { UsageMessage } from "./usage/event.ts";

/** The bindings of wrangler.toml. Engine keys and service tokens are further members, named by the catalog. */
export interface Env {
  readonly OIDC_ISSUER: string;
  readonly OIDC_AUDIENCE: string;
  readonly CAUSEWAY_SECRET: string;
  readonly ACCESS_CLIENT_ID?: string;
  readonly ACCESS_CLIENT_SECRET?: string;
  /** In ms: how long an event waits for others of its caller, to be sent to the ledger with them. */
  readonly OUTBOX_SEND_MS?: string;
  /** In ms: when an event that the ledger has not confirmed is sent again for the first time. */
  readonly OUTBOX_RESEND_MS?: string;
  /** In ms: for how long a resumable answer goes on without a reader. */
  readonly RESUME_GRACE_MS?: string;
  readonly KV: KVNamespace;
  readonly ACCOUNT: DurableObjectNamespace<Account>;
  readonly TENANT: DurableObjectNamespace<Tenant>;
  readonly FLEET: DurableObjectNamespace<Fleet>;
  readonly CHAT_SOCKET: DurableObjectNamespace<ChatSocket>;
  readonly TICKET: DurableObjectNamespace<Ticket>;
  readonly RESUMABLE: DurableObjectNamespace<Resumable>;
  readonly BATCHES: DurableObjectNamespace<Batches>;
  readonly USAGE: Queue<UsageMessage>;
  readonly JOBS: Queue<JobMessage>;
  readonly BATCH_CALLS: Queue<BatchCall>;
  readonly HYPERDRIVE: Hyperdrive;
  readonly COMPLETIONS_RATE: RateLimit;
  readonly EMBEDDINGS_RATE: RateLimit;
  readonly AUTH_FAILURES: RateLimit;
}

const binding = (method: string, kind: string) =>
  z.custom<object>(
    (value) =>
      typeof value === "object" &&
      value !== null &&
      (method === "" || typeof Reflect.get(value, method) === "function"),
    `must be a ${kind} binding in wrangler.toml`,
  );

const milliseconds = z
  .string()
  .regex(/^[1-9]\d*$/, "must be a number of milliseconds")
  .optional();

const schema = z.object({
  OIDC_ISSUER: z.url({ protocol: /^https?$/, error: "must be the issuer's URL" }),
  OIDC_AUDIENCE: z.string({ error: "must be the audience that access tokens carry" }).min(1),
  // 256 bits in base64url are 43 characters; 32 characters are the least that cannot be guessed.
  CAUSEWAY_SECRET: z.string({ error: "must be set as a secret" }).min(32, "must have 32 characters at least"),
  KV: binding("getWithMetadata", "KV namespace"),
  ACCOUNT: binding("idFromName", "Durable Object"),
  TENANT: binding("idFromName", "Durable Object"),
  FLEET: binding("idFromName", "Durable Object"),
  BATCHES: binding("idFromName", "Durable Object"),
  CHAT_SOCKET: binding("idFromName", "Durable Object"),
  TICKET: binding("idFromName", "Durable Object"),
  RESUMABLE: binding("idFromName", "Durable Object"),
  OUTBOX_SEND_MS: milliseconds,
  OUTBOX_RESEND_MS: milliseconds,
  RESUME_GRACE_MS: milliseconds,
  USAGE: binding("sendBatch", "queue producer"),
  JOBS: binding("sendBatch", "queue producer"),
  BATCH_CALLS: binding("sendBatch", "queue producer"),
  HYPERDRIVE: binding("", "Hyperdrive"),
  COMPLETIONS_RATE: binding("limit", "rate limit"),
  EMBEDDINGS_RATE: binding("limit", "rate limit"),
  AUTH_FAILURES: binding("limit", "rate limit"),
});

const checked = new WeakMap<object, readonly string[]>();

/**
 * What is wrong with the bindings.
 *
 * @returns a sentence per field at fault, `FIELD: what it must be`; empty when all is well. Paid once per isolate.
 */
export function envProblems(env: Env): readonly string[] {
  const known = checked.get(env);
  if (known !== undefined) return known;
  const result = schema.safeParse(env);
  const problems = result.success
    ? []
    : result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  checked.set(env, problems);
  return problems;
}

/** A secret that the catalog names; undefined when it is not set or is not text. */
export function secretOf(env: Env, name: string): string | undefined {
  const value: unknown = Reflect.get(env, name);
  return typeof value === "string" && value !== "" ? value : undefined;
}
