/** Whether traffic follows the computed shares, for each strategy: three unlike hosts, none ever full. */
import type { STRATEGIES } from "#src/catalog/schema.ts";
import { arrive, even } from "./arrivals.ts";
import type { Finding } from "./finding.ts";
import { meanShares, type Shares } from "./fleet-view.ts";
import { judgeShares } from "./judge-spread.ts";
import { entriesOf } from "./ledger.ts";
import type { HostPlan } from "./plan.ts";
import { talk } from "./question.ts";
import type { SharesScale } from "./scale.ts";
import type { Mark, Scenario } from "./scenario.ts";

export type Strategy = (typeof STRATEGIES)[number];

/** Ten times what is in flight: a machine that stands still for a second fills none. */
const SLOTS = 128;
/** `wrangler dev` says of every caller that it is near Dallas. */
const HOSTS: readonly HostPlan[] = [
  {
    id: "shares-a",
    machine: "shares",
    slots: SLOTS,
    ttftMs: 40,
    tokensPerSecond: 200,
    listed: { weight: 1, cost: { perHour: 3.6 }, region: ["FRA", "DE", "EU"] },
  },
  {
    id: "shares-b",
    machine: "shares",
    slots: SLOTS,
    ttftMs: 80,
    tokensPerSecond: 100,
    listed: { weight: 2, cost: { perHour: 1.8 }, region: ["YYZ", "CA", "NA"] },
  },
  {
    id: "shares-c",
    machine: "shares",
    slots: SLOTS,
    ttftMs: 120,
    tokensPerSecond: 60,
    listed: { weight: 3, cost: { perHour: 0.9 }, region: ["DFW", "US", "NA"] },
  },
];
const TOKENS = 8;
/** Not counted: averages that a strategy goes by find their level. */
const WARM_UP = 60;

export function shares({ strategies, requests, perSecond }: SharesScale): Scenario {
  const modelOf = (strategy: Strategy): string => `chaos/${strategy}`;
  return {
    name: "shares",
    hosts: HOSTS,
    models: strategies.map((strategy) => {
      return { id: modelOf(strategy), on: HOSTS.map(({ id }) => id), listed: { strategy, affinity: false } };
    }),
    async play(stage, crowd) {
      const findings: Finding[] = [];
      const marks: Mark[] = [];
      for (const strategy of strategies) {
        const model = modelOf(strategy);
        const body = talk({ model, text: "shares", tokens: TOKENS, stream: false });
        const ask = (workflow: string) => (arrival: { caller: number }) =>
          crowd.ask(arrival.caller, body, { workflow });
        const prelude = ask(`${crowd.workflow}-warm-up`);
        await arrive(even(WARM_UP, perSecond / 2, crowd.callers), prelude, stage.signal);
        marks.push({ atMs: Date.now(), what: strategy });
        const since = crowd.seen.length;
        const asking = arrive(even(requests, perSecond, crowd.callers), ask(crowd.workflow), stage.signal);
        const computed: Shares | null = await meanShares(stage.admin, model, asking);
        findings.push(...judgeShares(strategy, crowd.seen.slice(since), computed));
      }
      const entries = await entriesOf(stage.database, crowd.workflow, crowd.seen, stage.signal);
      const setting = `3 unlike hosts (weights 1, 2, 3), ${requests} whole answers of ${TOKENS} tokens for each strategy at ${perSecond}/s`;
      return { setting, findings, seen: crowd.seen, entries, marks };
    },
  };
}
