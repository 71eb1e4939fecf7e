/**
 * How long a request may wait in line for a host: what the catalog says of its model, or else as long as its first token
 * may take; and never longer than its caller says that it waits.
 */
import type { Model } from "#src/catalog/schema.ts";

export type LinePatience = {
  readonly maxWaitMs: number;
  /** Whether nobody has asked for this wait in particular: it may be cut while more is asked for than can be served. */
  readonly mayCutWait: boolean;
  readonly maxWaiting: number;
};

/** Of what is done in the background: it does not stand in a line at all. */
export const NO_PATIENCE: LinePatience = { maxWaitMs: 0, mayCutWait: false, maxWaiting: 1 };

/** The caller's own word: `Prefer: wait=10` (RFC 7240, 4.3), in seconds. */
const WAIT = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?(?=$|[,;\s])/i;
/** Official SDKs say in this header after how many seconds they give up. */
const SDK_TIMEOUT = "x-stainless-timeout";

export function patienceOf({ queue, deadlines }: Model, headers: Headers): LinePatience {
  const asked = WAIT.exec(headers.get("prefer") ?? "")?.[1];
  const timeoutS = Number(headers.get(SDK_TIMEOUT) ?? Number.NaN);
  const bounds = [queue.maxWait ?? deadlines.firstToken];
  if (asked !== undefined) bounds.push(Number(asked) * 1_000);
  if (timeoutS > 0) bounds.push(timeoutS * 1_000);
  return {
    maxWaitMs: Math.min(...bounds),
    mayCutWait: queue.maxWait === undefined && asked === undefined,
    maxWaiting: queue.maxWaiting,
  };
}
