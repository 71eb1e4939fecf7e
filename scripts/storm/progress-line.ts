/** How far a storm is, in one line. Pure. */
import type { Seen } from "./quiet.ts";
import type { Sky } from "./weather.ts";

/** @param seen null while the ledger cannot be read */
export function progressLine(
  afterMs: number,
  requests: number,
  sent: number,
  seen: Seen | null,
  { worker, postgres, kills, hostFaults }: Sky,
): string {
  const rows = seen === null ? "?" : seen.ledger.rows.length;
  const letters = seen === null ? "?" : `${seen.ledger.deadLetters.length} of ${seen.poison.length}`;
  const leases = seen === null ? "?" : seen.accounts.openLeases;
  const kept = seen === null ? "?" : seen.accounts.unacknowledged;
  return [
    `${String(Math.round(afterMs / 1_000)).padStart(5)} s`,
    `${sent} of ${requests} requests over`,
    `${rows} rows`,
    `${letters} dead letters`,
    `${leases} leases open`,
    `${kept} events kept`,
    `worker ${worker} (${kills} kills)`,
    `postgres ${postgres}`,
    `${hostFaults} host faults`,
  ].join("  ");
}
