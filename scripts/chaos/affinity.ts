/**
 * Sessions with long beginnings over hosts that remember what they have read: the same questions at the same times, to a
 * model with affinity and to one without.
 */
import { arrive } from "./arrivals.ts";
import type { Seen } from "./caller.ts";
import { type Heard, judgeAffinity } from "./judge-spread.ts";
import { prefixCounts } from "./lab-counters.ts";
import { entriesOf } from "./ledger.ts";
import { alike } from "./plan.ts";
import { talk } from "./question.ts";
import type { AffinityScale } from "./scale.ts";
import type { Mark, Scenario } from "./scenario.ts";

const WITH = "chaos/with-affinity";
const WITHOUT = "chaos/without-affinity";
/** Many, since a host that is drawn is the warm one by chance once in as many. */
const HOSTS = 8;
const PACE = { slots: 8, ttftMs: 300, tokensPerSecond: 25 };
const TOKENS = 16;
const BEGINNING_WORDS = 400;
const TURN_WORDS = 20;

type Turn = {
  readonly atMs: number;
  readonly caller: number;
  readonly session: number;
  readonly turn: number;
};

/** Round after round, each session in its turn: a session speaks again long after it has been answered. Pure. */
export function turnsOf({ sessions, turns, perSecond }: AffinityScale, callers: number): Turn[] {
  return Array.from({ length: sessions * turns }, (_, at) => {
    const session = at % sessions;
    return { atMs: (at * 1_000) / perSecond, caller: session % callers, session, turn: Math.floor(at / sessions) };
  });
}

export function affinity(scale: AffinityScale): Scenario {
  const hosts = alike(HOSTS, "affinity", PACE);
  const on = hosts.map(({ id }) => id);
  return {
    name: "affinity",
    hosts,
    models: [
      { id: WITH, on, listed: { affinity: true } },
      { id: WITHOUT, on, listed: { affinity: false } },
    ],
    async play(stage, crowd) {
      const { signal } = stage;
      const urls = on.map((id) => stage.hosts[id] ?? "");
      const turns = turnsOf(scale, crowd.callers);
      const marks: Mark[] = [];
      const hear = async (model: string): Promise<Heard> => {
        const before = await prefixCounts(urls);
        const since = crowd.seen.length;
        await arrive(turns, (turn) => asked(turn, model), signal);
        const after = await prefixCounts(urls);
        return {
          seen: crowd.seen.slice(since),
          queriedTokens: after.queriedTokens - before.queriedTokens,
          hitTokens: after.hitTokens - before.hitTokens,
        };
      };
      const asked = (turn: Turn, model: string): Promise<Seen> => {
        const { body, headers } = questionOf(turn, model);
        return crowd.ask(turn.caller, body, { headers });
      };
      marks.push({ atMs: Date.now(), what: "without affinity" });
      const without = await hear(WITHOUT);
      marks.push({ atMs: Date.now(), what: "with affinity" });
      const withIt = await hear(WITH);
      const entries = await entriesOf(stage.database, crowd.workflow, crowd.seen, signal);
      const findings = judgeAffinity({ hosts: on, entries, with: withIt, without });
      const setting = `${HOSTS} hosts of ${PACE.slots} slots, ${scale.sessions} sessions of ${scale.turns} turns that begin with the same ${BEGINNING_WORDS} words, ${scale.perSecond} requests/s; a third is known by x-session-id, a third by user, a third by its beginning`;
      return { setting, findings, seen: crowd.seen, entries, marks };
    },
  };
}

/** A third of the sessions says so in a header, a third in the body; the others are known by how they begin. Pure. */
function questionOf({ session, turn }: Turn, model: string) {
  const words = (count: number, name: string): string =>
    Array.from({ length: count }, (_, at) => `${name}${at}`).join(" ");
  const messages = [{ role: "user", content: words(BEGINNING_WORDS, `s${session}w`) }];
  for (let past = 0; past < turn; past++) {
    messages.push({ role: "assistant", content: words(TOKENS, `a${past}w`) });
    messages.push({ role: "user", content: words(TURN_WORDS, `t${past}w`) });
  }
  messages.push({ role: "user", content: `and now? [[tokens=${TOKENS}]]` });
  const plain = { ...talk({ model, text: "", tokens: TOKENS }), messages };
  const id = `session-${session}`;
  if (session % 3 === 0) return { body: plain, headers: { "x-session-id": id } };
  return { body: session % 3 === 1 ? { ...plain, user: id } : plain, headers: {} };
}
