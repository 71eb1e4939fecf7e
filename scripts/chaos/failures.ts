/** Questions that were not answered, in words. Pure. */
import type { Seen } from "./caller.ts";

/** How many, and what the gateway said of them: `3 (2 upstream_error, 1 connection_lost)`. */
export function failuresText(failed: readonly Seen[]): string {
  const byCode = Map.groupBy(failed, ({ code, status }) => code ?? `status ${status}`);
  const codes = [...byCode].map(([code, those]) => `${those.length} ${code}`).join(", ");
  return failed.length === 0 ? "0" : `${failed.length} (${codes})`;
}
