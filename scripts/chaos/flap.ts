/** One of three hosts comes and goes: its process is killed every ten seconds and started again five seconds later. */
import { setTimeout as sleep } from "node:timers/promises";
import { arrive, poisson } from "./arrivals.ts";
import { judgeFlap } from "./judge-outage.ts";
import { entriesOf } from "./ledger.ts";
import { alike } from "./plan.ts";
import { talk } from "./question.ts";
import type { FlapScale } from "./scale.ts";
import type { Mark, Scenario } from "./scenario.ts";

const MODEL = "chaos/flap";
const VICTIM = "flap-b";
const PACE = { ttftMs: 100, tokensPerSecond: 40 };
/** Short answers: few are under way when the host goes, so what fails is what was sent there too often. */
const TOKENS = 12;
const PHASE_MS = 5_000;

export function flap({ slots, perSecond, forMs }: FlapScale): Scenario {
  const hosts = alike(3, "flap", { ...PACE, slots }).map((host) =>
    host.id === VICTIM ? { ...host, machine: VICTIM } : host,
  );
  return {
    name: "flap",
    hosts,
    models: [{ id: MODEL, on: hosts.map(({ id }) => id) }],
    async play(stage, crowd) {
      const { signal, chance } = stage;
      const machine = stage.machine(VICTIM);
      const marks: Mark[] = [];
      const mark = (what: string): void => void marks.push({ atMs: Date.now(), what });
      const flapping = async (): Promise<void> => {
        for (const endMs = Date.now() + forMs; Date.now() + PHASE_MS < endMs; ) {
          await sleep(PHASE_MS, undefined, { signal });
          mark("down");
          await machine.end("kill");
          await sleep(PHASE_MS, undefined, { signal });
          await machine.start();
          mark("up");
        }
      };
      const arrivals = poisson(Array(crowd.callers).fill(perSecond / crowd.callers), forMs, chance);
      const send = ({ caller }: { caller: number }) =>
        crowd.ask(caller, talk({ model: MODEL, text: "flap", tokens: TOKENS }));
      await Promise.all([arrive(arrivals, send, signal), flapping()]);
      const { seen } = crowd;
      const entries = await entriesOf(stage.database, crowd.workflow, seen, signal);
      const setting = `3 hosts of ${slots} slots, ${perSecond} requests/s of about 0.4 s for ${forMs / 1_000} s; ${VICTIM} up 5 s, down 5 s`;
      const falls = marks.filter(({ what }) => what === "down").length;
      return { setting, findings: judgeFlap({ seen, entries, victim: VICTIM, falls }), seen, entries, marks };
    },
  };
}
