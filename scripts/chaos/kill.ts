/** One of three hosts is killed under load, as a machine that fails, and started again on the same port. */
import { setTimeout as sleep } from "node:timers/promises";
import { arrive, poisson } from "./arrivals.ts";
import { judgeKill } from "./judge-outage.ts";
import { entriesOf } from "./ledger.ts";
import { alike } from "./plan.ts";
import { talk } from "./question.ts";
import type { KillScale } from "./scale.ts";
import type { Mark, Scenario } from "./scenario.ts";

const MODEL = "chaos/kill";
const VICTIM = "kill-b";
const PACE = { ttftMs: 150, tokensPerSecond: 40 };
const TOKENS = 40;

export function kill({ slots, perSecond, killAfterMs, downForMs, backWithinMs, goOnForMs }: KillScale): Scenario {
  const hosts = alike(3, "kill", { ...PACE, slots }).map((host) =>
    host.id === VICTIM ? { ...host, machine: VICTIM } : host,
  );
  return {
    name: "kill",
    hosts,
    models: [{ id: MODEL, on: hosts.map(({ id }) => id) }],
    async play(stage, crowd) {
      const { signal, chance } = stage;
      const machine = stage.machine(VICTIM);
      const marks: Mark[] = [];
      const mark = (what: string): void => void marks.push({ atMs: Date.now(), what });
      const misfortune = async (): Promise<void> => {
        await sleep(killAfterMs, undefined, { signal });
        mark("killed");
        await machine.end("kill");
        await sleep(downForMs, undefined, { signal });
        await machine.start();
        mark("up again");
      };
      const isOver = (): boolean => {
        const upAtMs = marks[1]?.atMs ?? Number.POSITIVE_INFINITY;
        const back = crowd.seen.find(({ sentAtMs, host }) => host === VICTIM && sentAtMs >= upAtMs);
        return back !== undefined && Date.now() - back.sentAtMs >= goOnForMs;
      };
      const each = perSecond / crowd.callers;
      const arrivals = poisson(Array(crowd.callers).fill(each), killAfterMs + downForMs + backWithinMs, chance);
      const send = ({ caller }: { caller: number }) =>
        crowd.ask(caller, talk({ model: MODEL, text: "kill", tokens: TOKENS }));
      await Promise.all([arrive(arrivals, send, signal, isOver), misfortune()]);
      const { seen } = crowd;
      const entries = await entriesOf(stage.database, crowd.workflow, seen, signal);
      const [killed, up] = marks;
      const facts = { seen, entries, victim: VICTIM, killedAtMs: killed?.atMs ?? 0, upAtMs: up?.atMs ?? 0 };
      const setting = `3 hosts of ${slots} slots, ${perSecond} requests/s of about 1.1 s; ${VICTIM} down for ${downForMs / 1_000} s`;
      return { setting, findings: judgeKill(facts), seen, entries, marks };
    },
  };
}
