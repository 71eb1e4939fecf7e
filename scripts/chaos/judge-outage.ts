/** What must hold while a host is away: the judgements on `kill` and `flap`. Pure. */
import type { Seen } from "./caller.ts";
import { failuresText } from "./failures.ts";
import { type Finding, fact, must, percent, seconds } from "./finding.ts";
import { type Entries, hostOf } from "./ledger.ts";
import { sum } from "./statistics.ts";

/** The numbers. */
const MOST_FAILED = 5;
const BACK_WITHIN_MS = 35_000;
const MOST_CALLS = 1.2;
const MOST_FLAP_FAILED = 0.01;
/** A question that was sent this long after the kill must not fail any more. */
const SETTLED_AFTER_MS = 10_000;

type Outage = { readonly seen: readonly Seen[]; readonly entries: Entries; readonly victim: string };

export function judgeKill({
  seen,
  entries,
  victim,
  killedAtMs,
  upAtMs,
}: Outage & { readonly killedAtMs: number; readonly upAtMs: number }): Finding[] {
  const failed = seen.filter(({ end }) => end !== "whole");
  const late = failed.filter(({ sentAtMs }) => sentAtMs > killedAtMs + SETTLED_AFTER_MS);
  const there = seen.filter((one) => hostOf(one, entries) === victim);
  const before = there.filter(({ sentAtMs }) => sentAtMs < killedAtMs);
  const back = there.filter(({ sentAtMs }) => sentAtMs >= upAtMs).map(({ sentAtMs }) => sentAtMs - upAtMs);
  const backAfterMs = back.length === 0 ? null : Math.min(...back);
  return [
    fact("requests", seen.length),
    must("  on the host before it was killed", "> 0", before.length, before.length > 0),
    must("failed requests", `<= ${MOST_FAILED}`, failuresText(failed), failed.length <= MOST_FAILED),
    must(`  of those sent ${SETTLED_AFTER_MS / 1_000} s after the kill`, "0", failuresText(late), late.length === 0),
    must(
      "traffic back on the host after its return",
      `<= ${BACK_WITHIN_MS / 1_000} s`,
      seconds(backAfterMs),
      backAfterMs !== null && backAfterMs <= BACK_WITHIN_MS,
    ),
    callsFinding(seen, entries),
  ];
}

export function judgeFlap({ seen, entries, victim, falls }: Outage & { readonly falls: number }): Finding[] {
  const failed = seen.filter(({ end }) => end !== "whole");
  const there = seen.filter((one) => hostOf(one, entries) === victim);
  const share = seen.length === 0 ? null : failed.length / seen.length;
  return [
    fact("requests", seen.length),
    fact("  answered by the flapping host", there.length),
    must("times the host went away", "> 0", falls, falls > 0),
    must(
      "failed requests",
      `<= ${percent(MOST_FLAP_FAILED)}`,
      `${percent(share)}: ${failuresText(failed)}`,
      share !== null && share <= MOST_FLAP_FAILED,
    ),
    callsFinding(seen, entries),
  ];
}

/** Each attempt at a host is a call, also one that finds nobody there: only the ledger knows of those. */
function callsFinding(seen: readonly Seen[], entries: Entries): Finding {
  const known = seen.flatMap(({ requestId }) => entries.get(requestId ?? "") ?? []);
  const calls = sum(known.map(({ attempts }) => attempts));
  const ratio = known.length === 0 ? null : calls / known.length;
  const found = ratio === null ? "the ledger has no entry" : `${ratio.toFixed(3)} x (${calls} of ${known.length})`;
  return must("upstream calls per request", `<= ${MOST_CALLS} x`, found, ratio !== null && ratio <= MOST_CALLS);
}
