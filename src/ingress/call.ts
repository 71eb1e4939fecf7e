/** One request on its way: what the conductors pass along. Plain values; no framework's context. */
import type { Principal } from "#src/auth/principal.ts";
import type { Proof } from "#src/auth/proof.ts";
import type { Catalog } from "#src/catalog/schema.ts";
import type { Env } from "#src/env.ts";
import type { Isolate } from "#src/isolate.ts";
import type { LogLine } from "#src/metrics/log-line.ts";

export type Call = {
  readonly request: Request;
  readonly env: Env;
  readonly isolate: Isolate;
  readonly catalog: Catalog;
  /** UUIDv7 (RFC 9562), minted here and never taken from the caller: it is the ledger's key, so that nobody can hide one request behind another's. */
  readonly requestId: string;
  readonly arrivedAtMs: number;
  /** The caller's address as the platform says; null where there is no platform in front. */
  readonly address: string | null;
  /** Runs work after the response (`waitUntil`). */
  readonly defer: (work: Promise<void>) => void;
  readonly log: LogLine;
  /** Nobody waits for the answer: it takes a slot that is left over, or none. */
  readonly isBackground?: boolean;
};

/** A call whose sender is known. */
export type KnownCall = Call & { readonly principal: Principal };

/** With what its sender's credential rests on, for conductors whose work outlives the request. */
export type ProvenCall = KnownCall & { readonly proof: Proof };

/** A header that is copied into the ledger or to a host: printable ASCII of sane length, or nothing. */
export function plainHeader(request: Request, name: string): string | null {
  const value = request.headers.get(name);
  return value !== null && /^[\x21-\x7e]{1,128}$/.test(value) ? value : null;
}
