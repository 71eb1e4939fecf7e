/**
 * Callers leave: while tokens flow, while a host is silent, before it has said a word, in the waiting line, and while
 * another host takes over. Whatever they leave must stop, and be in the ledger.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { arrive, even } from "../arrivals.ts";
import { rowsOf } from "../ledger.ts";
import type { HostPlan } from "../plan.ts";
import type { Part, Told } from "../play.ts";
import { progressOf } from "../progress-line.ts";
import { talk } from "../question.ts";
import type { Stage } from "../stage.ts";
import { type Abandoned, abandon, type Leaving } from "./abandon.ts";
import { judgeLeaving, type Left, WAYS, type Way } from "./judge-leaving.ts";
import { arm, disarm, generationsOf, openAt, strikesOf } from "./lab-host.ts";
import type { LeavingScale } from "./scale.ts";

/** Longer than anybody stays. */
const TOKENS = 4_000;
const HOST = { machine: "leaving", slots: 500, ttftMs: 100, tokensPerSecond: 20 } as const;
/** Nobody's patience ends before the caller's. */
const DEADLINES = { firstToken: 30_000, betweenTokens: 30_000, total: 120_000 };
const LINE_SLOTS = 2;
const OPEN_AFTER_MS = 5_000;

const HOSTS: readonly HostPlan[] = [
  { ...HOST, id: "leaving-flowing" },
  { ...HOST, id: "leaving-silent" },
  { ...HOST, id: "leaving-mute" },
  { ...HOST, id: "leaving-line", slots: LINE_SLOTS },
  // Slow to begin: there is time to leave while the other takes over.
  ...["a", "b", "c", "d"].map((letter) => ({ ...HOST, id: `leaving-moving-${letter}`, ttftMs: 1_000 })),
];
const onesOf = (way: Way): string[] => HOSTS.filter(({ id }) => id.startsWith(`leaving-${way}`)).map(({ id }) => id);
const modelOf = (way: Way): string => `chaos/leaving-${way}`;

export function leaving({ callers, perSecond }: LeavingScale): Part<Told> {
  const left: Left[] = [];
  let asked = 0;
  return {
    name: "leaving",
    hosts: HOSTS,
    models: WAYS.map((way) => {
      return { id: modelOf(way), on: onesOf(way), listed: { deadlines: DEADLINES, affinity: false } };
    }),
    async play(stage) {
      const { chance, signal, gateway, keys } = stage;
      const workflow = "chaos-leaving";
      const urls = HOSTS.map(({ id }) => stage.hosts[id] ?? "");
      const urlOf = (id: string | undefined): string => stage.hosts[id ?? ""] ?? "";
      const ask = (caller: number, way: Way, how: Leaving, name = workflow): Promise<Abandoned> =>
        abandon(
          gateway,
          keys[caller] ?? "",
          name,
          talk({ model: modelOf(way), text: "", tokens: TOKENS, most: TOKENS }),
          how,
        );
      await arm(urlOf("leaving-silent"), { kind: "hang-after", model: modelOf("silent"), afterTokens: 3 });
      await arm(urlOf("leaving-mute"), { kind: "hang-before-headers", model: modelOf("mute") });
      const stay = (callers * 1_000) / perSecond + 5_000;
      const hogs = Array.from({ length: LINE_SLOTS }, () =>
        ask(0, "line", { since: "sent", afterMs: stay }, `${workflow}-hogs`),
      );
      const one = async ({ caller }: { caller: number }): Promise<void> => {
        const way = WAYS[asked % WAYS.length] ?? "flowing";
        asked += 1;
        if (way === "moving") {
          const moving = onesOf("moving");
          const at = Math.floor(chance() * moving.length);
          const afterTokens = chance() < 0.5 ? 0 : 2;
          await arm(urlOf(moving[at]), { kind: "cut-after", model: modelOf("moving"), afterTokens, times: 1 });
        }
        left.push({ way, ...(await ask(caller, way, leavingOf(way, chance))) });
      };
      await arrive(even(callers, perSecond, keys.length), one, signal);
      await Promise.all(hogs);
      await sleep(OPEN_AFTER_MS, undefined, { signal });
      const open = await openAt(urls);
      const findings = judgeLeaving({
        left,
        open,
        generations: await generationsOf(urls),
        strikes: await strikesOf(urls),
        rows: await rowsOf(stage.database, workflow, left.length, signal),
      });
      await Promise.all(urls.map(disarm));
      return { setting: `${callers} callers at ${perSecond}/s, a fifth of them each: ${WAYS.join(", ")}`, findings };
    },
    progress: (startedAtMs, nowMs) => progressOf("leaving", startedAtMs, nowMs, `${asked} asked  ${left.length} left`),
  };
}

/** At a random instant of what it is to be left in. */
function leavingOf(way: Way, chance: Stage["chance"]): Leaving {
  const within = (ms: number): number => Math.floor(chance() * ms);
  switch (way) {
    case "flowing":
      return { since: "content", afterMs: within(1_500) };
    case "silent":
      // Its three tokens are there a fifth of a second after the first.
      return { since: "content", afterMs: 500 + within(3_000) };
    case "moving":
      return { since: "sent", afterMs: 1_000 + within(2_500) };
    case "mute":
    case "line":
      return { since: "sent", afterMs: 200 + within(4_000) };
  }
}
