// The faults a host can be told to have, and which request each one strikes. Deciding only; striking is done where the
// bytes are (request-fault.ts, event-stream.ts, whole-reply.ts). N below is `afterTokens`.
//
// Instead of an answer:
//   refuse, 500, 503-loading, hang-before-headers, html-502, rate-limited, redirect
// A stream that is not heard to its end:
//   hang-after       N token events, then silence on an open connection
//   cut-after        N token events, then the connection is closed in the midst of the body (FIN, no last chunk)
//   rst-after        the same by reset (RST)
//   cut-inside       half of an event more, then as cut-after
//   fin-after        N token events, then the body ends as if all were said
//   fin-inside       half of an event more, then the same
//   half-character   the same, the half event ending in the midst of a UTF-8 character
//   error-event      N token events, then the engine's own words for its breakdown
// A stream that is whole, and hard to read:
//   garbage          an event that is no JSON after N tokens; the answer goes on
//   giant-event      the event after N tokens has `bytes` more
//   slow-drip        from N tokens on one byte every `ms`
//   crlf-split       lines end with CR LF, and between CR and LF are `ms`
//   fin-before-done  all is said, but [DONE]
//   double-done      [DONE] twice
//   compressed       gzip, which nobody asked for
// The health route alone: stall-health. Usage that is missing is no fault but a host's habit: `forceNoUsage`.
import { BadField, count, flag, type Json, text } from "./fields.ts";

/** request: instead of an answer. stream: in the midst of one. health: only the health route. */
type Stage = "request" | "stream" | "health";

interface FaultKind {
  readonly stage: Stage;
  readonly aliases: readonly string[];
  /** Also strikes what is no inference (probes), without counting as one of `times`. */
  readonly everywhere?: boolean;
  /** Token events that pass first, where the request does not say. */
  readonly afterTokens?: number;
}

export const FAULT_KINDS = {
  refuse: { stage: "request", aliases: ["reset", "refused"], everywhere: true },
  "500": { stage: "request", aliases: ["status-500", "error-500", "internal-error"] },
  "503-loading": { stage: "request", aliases: ["loading", "503"], everywhere: true },
  "hang-before-headers": { stage: "request", aliases: ["hang", "hang-before"] },
  "html-502": { stage: "request", aliases: ["502", "bad-gateway", "html"] },
  "rate-limited": { stage: "request", aliases: ["429", "rate-limit", "status-429"] },
  redirect: { stage: "request", aliases: ["302", "login"] },
  "hang-after": { stage: "stream", aliases: ["stall", "hang-after-tokens"] },
  "cut-after": { stage: "stream", aliases: ["cut", "cut-after-tokens"] },
  "cut-inside": { stage: "stream", aliases: ["cut-inside-event", "half-event"] },
  "fin-after": { stage: "stream", aliases: ["fin", "end-after"] },
  "fin-inside": { stage: "stream", aliases: ["fin-inside-event", "end-inside"] },
  "rst-after": { stage: "stream", aliases: ["rst"] },
  "half-character": { stage: "stream", aliases: ["half-utf8"] },
  "crlf-split": { stage: "stream", aliases: ["crlf"], afterTokens: 0 },
  "fin-before-done": { stage: "stream", aliases: ["no-done"], afterTokens: 0 },
  "double-done": { stage: "stream", aliases: ["two-dones"], afterTokens: 0 },
  compressed: { stage: "stream", aliases: ["gzip"], afterTokens: 0 },
  "slow-drip": { stage: "stream", aliases: ["drip", "slow"], afterTokens: 0 },
  garbage: { stage: "stream", aliases: ["garbage-event"] },
  "giant-event": { stage: "stream", aliases: ["giant"] },
  "error-event": { stage: "stream", aliases: ["error"] },
  "stall-health": { stage: "health", aliases: ["hang-health"] },
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof FAULT_KINDS;

const NAMES: ReadonlyMap<string, FaultName> = new Map(
  (Object.keys(FAULT_KINDS) as FaultName[]).flatMap((name) =>
    [name, ...FAULT_KINDS[name].aliases].map((alias) => [alias, name] as const),
  ),
);
const DEFAULT_AFTER_TOKENS = 3;
const DEFAULT_DRIP_MS = 20;
/** Above the 1 MiB a careful reader allows one event. */
const DEFAULT_GIANT_BYTES = 2 * 1024 * 1024 + 1;

export interface Fault {
  readonly kind: FaultName;
  readonly afterTokens: number;
  readonly ms: number;
  readonly bytes: number;
  /** Requests it may still strike; null is until DELETE. */
  times: number | null;
  /** Strikes only requests for this model. */
  readonly model: string | null;
  /** Strikes probes too (health, models, metrics), not only inference. */
  readonly everywhere: boolean;
}

/** Reads the body of POST /lab/fault. @throws BadField listing the kinds when the kind is unknown */
export function readFault(body: Json): Fault {
  const asked = text(body, "kind", "");
  const kind = NAMES.get(asked.toLowerCase());
  if (kind === undefined)
    throw new BadField("kind", `unknown fault kind "${asked}"; kinds: ${Object.keys(FAULT_KINDS).join(", ")}`);
  const facts: FaultKind = FAULT_KINDS[kind];
  return {
    kind,
    afterTokens: count(body, "afterTokens", 0) ?? facts.afterTokens ?? DEFAULT_AFTER_TOKENS,
    ms: count(body, "ms", 0) ?? DEFAULT_DRIP_MS,
    bytes: count(body, "bytes", 1) ?? DEFAULT_GIANT_BYTES,
    times: count(body, "times", 1),
    model: body.model === undefined ? null : text(body, "model", ""),
    everywhere: body.everywhere === undefined ? (facts.everywhere ?? false) : flag(body, "everywhere"),
  };
}

export class Faults {
  #active: Fault[] = [];

  add(fault: Fault): void {
    this.#active.push(fault);
  }

  clear(): void {
    this.#active = [];
  }

  list(): readonly Fault[] {
    return this.#active;
  }

  /** The fault that strikes this inference request, oldest first; uses up one of its `times`. */
  take(model: string | undefined): Fault | null {
    const fault = this.#active.find(
      (candidate) =>
        FAULT_KINDS[candidate.kind].stage !== "health" && (candidate.model === null || candidate.model === model),
    );
    if (fault === undefined) return null;
    if (fault.times !== null) {
      fault.times -= 1;
      if (fault.times === 0) this.#active = this.#active.filter((candidate) => candidate !== fault);
    }
    return fault;
  }

  /** The fault that strikes a probe; uses nothing up, so that probes cannot eat what was meant for a request. */
  onProbe(health: boolean): Fault | null {
    return (
      this.#active.find(
        ({ kind, everywhere }) =>
          (FAULT_KINDS[kind].stage === "request" && everywhere) || (health && FAULT_KINDS[kind].stage === "health"),
      ) ?? null
    );
  }
}

export function isRequestFault(fault: Fault): boolean {
  return FAULT_KINDS[fault.kind].stage === "request";
}
