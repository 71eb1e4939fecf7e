/**
 * Three times what the hosts can do is asked of them, by ten equal callers of whom one floods: it asks ten times as often
 * as each of the others. All of them ask for more than a tenth of what there is.
 */
import { arrive, poisson } from "./arrivals.ts";
import type { Seen } from "./caller.ts";
import type { Crowd } from "./crowd.ts";
import { judgeOverload } from "./judge-overload.ts";
import { forgetMost, mostAtOnce } from "./lab-counters.ts";
import { entriesOf } from "./ledger.ts";
import { strain } from "./machine.ts";
import { growth, weigh } from "./memory.ts";
import { alike } from "./plan.ts";
import { talk } from "./question.ts";
import type { OverloadScale } from "./scale.ts";
import type { Scenario } from "./scenario.ts";

const MODEL = "chaos/overload";
/** Long prompts, as it were: half of the time a host reads. The catalog says nothing of waiting: its defaults are tried. */
const PACE = { slots: 6, ttftMs: 800, tokensPerSecond: 40 };
const HOSTS = 3;
/** Of an answer, drawn evenly: fairness is one of tokens, not of requests. */
const FEWEST_TOKENS = 20;
const MOST_TOKENS = 44;
const MEAN_TOKENS = (FEWEST_TOKENS + MOST_TOKENS) / 2;
export const FLOODS_BY = 10;

/** Answers per second when no slot is ever free, by the lab's own pace: the end of an answer takes as long as a token. */
const SERVICE_S = PACE.ttftMs / 1_000 + MEAN_TOKENS / PACE.tokensPerSecond;
const CAPACITY_PER_S = (HOSTS * PACE.slots) / SERVICE_S;

/** Asked at once while the runtime warms up: more than there are slots, and those who find none are told at once. */
const WARM_UP_AT_ONCE = HOSTS * PACE.slots + 8;

export function overload(scale: OverloadScale): Scenario {
  const { unloadedForMs, overloadedForMs, unloadedAt, overloadedAt } = scale;
  const hosts = alike(HOSTS, "overload", PACE);
  return {
    name: "overload",
    hosts,
    models: [{ id: MODEL, on: hosts.map(({ id }) => id) }],
    async play(stage, crowd) {
      const { signal, chance } = stage;
      const send = (workflow: string, told: (seen: Seen) => void) => async (arrival: { caller: number }) => {
        const tokens = FEWEST_TOKENS + Math.floor(chance() * (MOST_TOKENS - FEWEST_TOKENS + 1));
        told(await crowd.ask(arrival.caller, talk({ model: MODEL, text: "overload", tokens }), { workflow }));
      };
      await warmUp(scale.warmUpRequests, crowd, signal);
      const others = crowd.callers - 1;
      const quiet: Seen[] = [];
      const calm = Array(crowd.callers).fill((CAPACITY_PER_S * unloadedAt) / crowd.callers);
      await arrive(
        poisson(calm, unloadedForMs, chance),
        send(`${crowd.workflow}-unloaded`, (seen) => quiet.push(seen)),
        signal,
      );
      await Promise.all(hosts.map(({ id }) => forgetMost(stage.hosts[id] ?? "")));
      const each = (CAPACITY_PER_S * overloadedAt) / (others + FLOODS_BY);
      const storm = [each * FLOODS_BY, ...Array(others).fill(each)];
      const { weighings, stop } = weigh(stage.runtime.group);
      const strained = strain();
      const startedAtMs = Date.now();
      try {
        await arrive(
          poisson(storm, overloadedForMs, chance),
          send(crowd.workflow, () => undefined),
          signal,
        );
      } finally {
        stop();
      }
      const most = await Promise.all(hosts.map(({ id }) => mostAtOnce(stage.hosts[id] ?? "")));
      const { seen } = crowd;
      const entries = await entriesOf(stage.database, crowd.workflow, seen, signal);
      const findings = judgeOverload({
        seen,
        quiet,
        startedAtMs,
        endedAtMs: startedAtMs + overloadedForMs,
        callers: crowd.callers,
        flooder: 0,
        tokensPerS: CAPACITY_PER_S * MEAN_TOKENS,
        slots: PACE.slots,
        most: Math.max(...most),
        growth: growth(weighings),
        strain: strained(),
      });
      const setting = `${HOSTS} hosts of ${PACE.slots} slots: ${CAPACITY_PER_S.toFixed(1)} requests/s of ${FEWEST_TOKENS} to ${MOST_TOKENS} tokens by the lab's pace; ${overloadedAt} x that for ${overloadedForMs / 1_000} s, one of ${crowd.callers} callers asks ${FLOODS_BY} x as often`;
      return { setting, findings, seen, entries, marks: [{ atMs: startedAtMs, what: `${overloadedAt} x` }] };
    },
  };
}

/** Questions that do not wait: most are refused, having come all the way to the line. */
async function warmUp(requests: number, crowd: Crowd, signal: AbortSignal): Promise<void> {
  let asked = 0;
  const asking = async (): Promise<void> => {
    while (asked < requests && !signal.aborted) {
      const caller = asked++ % crowd.callers;
      const of = { workflow: `${crowd.workflow}-warm-up`, headers: { prefer: "wait=0" } };
      await crowd.ask(caller, talk({ model: MODEL, text: "warm-up", tokens: FEWEST_TOKENS }), of);
    }
  };
  await Promise.all(Array.from({ length: WARM_UP_AT_ONCE }, asking));
}
