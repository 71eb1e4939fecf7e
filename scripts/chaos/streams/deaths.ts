/**
 * Hosts die on their questions in every way that the lab knows, before the first token and after it. Twelve hosts serve
 * one model together, and each of them one of its own: there nobody can take over.
 *
 * Deaths are spread, so that neither a breaker opens (half of ten calls in 30 s) nor the budget for failover is spent (a
 * fifth of a model's questions): both are right, and not what is asked here.
 */
import { rowsOf } from "../ledger.ts";
import { alike } from "../plan.ts";
import type { Part, Told } from "../play.ts";
import { progressOf } from "../progress-line.ts";
import type { Stage } from "../stage.ts";
import { judgeDeaths } from "./judge-deaths.ts";
import { arm, disarm, type Fault, strikesOf } from "./lab-host.ts";
import type { DeathsScale } from "./scale.ts";
import { type Asked, type Witnessed, witness } from "./witness.ts";

const TWINS = "chaos/twins";
const HOSTS = 12;
const PACE = { slots: 64, ttftMs: 200, tokensPerSecond: 60 };
const TOTAL_MS = 60_000;

const BEFORE = ["refuse", "500", "503-loading", "hang-before-headers", "html-502", "rate-limited", "redirect"] as const;
const WITHIN = [
  "hang-after",
  "cut-after",
  "rst-after",
  "cut-inside",
  "fin-after",
  "fin-inside",
  "half-character",
  "garbage",
  "giant-event",
  "error-event",
] as const;
/** The host lives; its answer is only hard to read. */
const ODD = ["slow-drip", "crlf-split", "fin-before-done", "double-done", "compressed"] as const;
const DEADLY: ReadonlySet<string> = new Set([...BEFORE, ...WITHIN]);
/** Each kind within an answer comes twice as often, which also keeps those before it within the budget for failover. */
const KINDS = [...BEFORE, ...WITHIN, ...WITHIN, ...ODD];
/** Of the questions. */
const STRUCK = 0.38;
/** Of the questions: about hosts that nobody stands in for. */
const ALONE = 0.15;
const LATEST_TOKEN = 12;
/** Per byte: an event takes about a tenth of a second. */
const DRIP_MS = 1;

export function deaths({ questions, atOnce, firstTokenMs, betweenTokensMs }: DeathsScale): Part<Told> {
  const hosts = alike(HOSTS, "deaths", PACE).map((host, at) =>
    at % 4 === 3 ? { ...host, engine: "llamacpp" as const } : host,
  );
  const deadlines = { firstToken: firstTokenMs, betweenTokens: betweenTokensMs, total: TOTAL_MS };
  const listed = { deadlines, affinity: false };
  const witnessed: Witnessed[] = [];
  let asked = 0;
  const aloneAt = (at: number): string => `chaos/alone-${at}`;
  return {
    name: "deaths",
    hosts,
    models: [
      { id: TWINS, on: hosts.map(({ id }) => id), listed },
      ...hosts.map(({ id }, at) => ({ id: aloneAt(at), on: [id], listed })),
    ],
    async play(stage) {
      const { chance, signal } = stage;
      const urls = hosts.map(({ id }) => stage.hosts[id] ?? "");
      const workflow = "chaos-deaths";
      const kinds = kindsInTurn(chance);
      const one = async (caller: number): Promise<void> => {
        const at = Math.floor(chance() * HOSTS);
        const model = chance() < ALONE ? aloneAt(at) : TWINS;
        const question = questionOf(asked, model, chance);
        asked += 1;
        if (chance() < STRUCK) await arm(urls[at] ?? "", faultOf(kinds(), model, chance));
        witnessed.push(await witness(stage.gateway, stage.keys[caller] ?? "", workflow, question));
      };
      const lane = async (caller: number): Promise<void> => {
        while (asked < questions) {
          signal.throwIfAborted();
          await one(caller % stage.keys.length);
        }
      };
      await Promise.all(Array.from({ length: atOnce }, (_, caller) => lane(caller)));
      await Promise.all(urls.map(disarm));
      const strikes = await strikesOf(urls);
      const findings = judgeDeaths({
        witnessed,
        strikes,
        twins: TWINS,
        deadly: DEADLY,
        ttftMs: PACE.ttftMs,
        betweenTokensMs,
        rows: await rowsOf(stage.database, workflow, witnessed.length, signal),
      });
      return { setting: settingOf(questions, atOnce), findings };
    },
    progress: (startedAtMs, nowMs) =>
      progressOf("deaths", startedAtMs, nowMs, `${asked} asked  ${witnessed.length} over`),
  };
}

function settingOf(questions: number, atOnce: number): string {
  return `${HOSTS} hosts (a quarter llama.cpp) of one model and each of one of its own, ${questions} streams, ${atOnce} at once, ${STRUCK * 100} % struck; ${PACE.ttftMs} ms to the first token, ${PACE.tokensPerSecond} tokens/s`;
}

/** All kinds in turn, each round in another order. */
function kindsInTurn(chance: Stage["chance"]): () => string {
  let left: string[] = [];
  return () => {
    const [kind = "cut-after", ...rest] = left.length > 0 ? left : shuffled(KINDS, chance);
    left = rest;
    return kind;
  };
}

function shuffled(things: readonly string[], chance: Stage["chance"]): string[] {
  const drawn = things.map((thing) => ({ thing, at: chance() }));
  return drawn.sort((a, b) => a.at - b.at).map(({ thing }) => thing);
}

function faultOf(kind: string, model: string, chance: Stage["chance"]): Fault {
  return { kind, model, times: 1, ms: DRIP_MS, afterTokens: Math.floor(chance() * LATEST_TOKEN) };
}

/** Free text and echoes of characters of many bytes; answers that end by themselves, at a bound, at a stop string. */
function questionOf(number: number, model: string, chance: Stage["chance"]): Asked {
  const tokens = 12 + Math.floor(chance() * 16);
  const isEcho = chance() < 0.3;
  const content = isEcho
    ? `[[echo]] ${number} 🙂 naïve 👩‍🚀 東京 words\nand  two\n\nlines Ærø 🇪🇺 नमस्ते to the very end of it all, once more 🚀`
    : `question ${number} [[tokens=${tokens}]]`;
  const isBound = chance() < 0.3;
  const stop = chance() < 0.25 ? ["of it", "a stop string that never comes"] : [];
  return { number, model, content, maxTokens: isBound ? 6 + Math.floor(chance() * 10) : 200, stop };
}
