/** Where requests must go: the judgements on `shares` and `affinity`. Pure. */
import type { Seen } from "./caller.ts";
import { failuresText } from "./failures.ts";
import { type Finding, fact, must, percent } from "./finding.ts";
import type { Shares } from "./fleet-view.ts";
import type { PrefixCounts } from "./lab-counters.ts";
import { type Entries, hostOf } from "./ledger.ts";

/** The numbers. */
const MOST_OFF = 0.05;
const LEAST_GAIN = 3;
const MOST_OF_FAIR = 1.25;

/** @param computed the mean of what the fleet's page said meanwhile; null when it said nothing */
export function judgeShares(strategy: string, seen: readonly Seen[], computed: Shares | null): Finding[] {
  const answered = seen.filter(({ end }) => end === "whole");
  const unanswered = seen.filter(({ end }) => end !== "whole");
  const measured = sharesIn(answered.flatMap(({ host }) => host ?? []));
  const hosts = [...new Set([...Object.keys(measured), ...Object.keys(computed ?? {})])].sort();
  const off = Math.max(...hosts.map((host) => Math.abs((measured[host] ?? 0) - (computed?.[host] ?? 0))));
  const text = (shares: Shares): string => hosts.map((host) => percent(shares[host] ?? 0)).join(" / ");
  const found =
    computed === null
      ? `${text(measured)}, but GET /admin/fleet tells no shares of the model`
      : `${(off * 100).toFixed(1)} points off: ${text(measured)}, computed ${text(computed)}`;
  return [
    must(`${strategy}: requests without an answer`, "0", failuresText(unanswered), unanswered.length === 0),
    must(`${strategy}: shares`, `within ${MOST_OFF * 100} points`, found, computed !== null && off <= MOST_OFF),
  ];
}

/** What one model's questions led to. */
export type Heard = PrefixCounts & { readonly seen: readonly Seen[] };

export type AffinityFacts = {
  readonly hosts: readonly string[];
  readonly entries: Entries;
  readonly with: Heard;
  readonly without: Heard;
};

export function judgeAffinity({ hosts, entries, with: warm, without: random }: AffinityFacts): Finding[] {
  const unanswered = [...warm.seen, ...random.seen].filter(({ end }) => end !== "whole");
  const [warmRate, randomRate] = [warm, random].map(({ hitTokens, queriedTokens }) => hitTokens / queriedTokens);
  const gain = (warmRate ?? 0) / (randomRate ?? 0);
  const load = (heard: Heard): number => {
    const shares = sharesIn(heard.seen.flatMap((one) => hostOf(one, entries) ?? []));
    return Math.max(...hosts.map((host) => (shares[host] ?? 0) * hosts.length));
  };
  const [warmLoad, randomLoad] = [load(warm), load(random)];
  return [
    fact("requests, with and without", `${warm.seen.length}; ${random.seen.length}`),
    must("  without an answer", "0", failuresText(unanswered), unanswered.length === 0),
    must(
      "prefix cache hits to those without affinity",
      `>= ${LEAST_GAIN} x`,
      `${gain.toFixed(2)} x (${percent(warmRate ?? null)}, without ${percent(randomRate ?? null)} of the tokens)`,
      gain >= LEAST_GAIN,
    ),
    must(
      "requests of the busiest host to its fair share",
      `<= ${MOST_OF_FAIR} x`,
      `${warmLoad.toFixed(2)} x (without affinity ${randomLoad.toFixed(2)} x)`,
      // The busiest has its fair share at least, where it is known who answered.
      warmLoad >= 1 && warmLoad <= MOST_OF_FAIR,
    ),
  ];
}

function sharesIn(hosts: readonly string[]): Shares {
  const byHost = Map.groupBy(hosts, (host) => host);
  return Object.fromEntries([...byHost].map(([host, those]) => [host, those.length / hosts.length]));
}
