/** What must hold of streams whose hosts die. Pure. */
import { type Finding, fact, must } from "../finding.ts";
import { expectedText } from "./expected.ts";
import { judgeGaps } from "./judge-gaps.ts";
import type { Strike } from "./lab-host.ts";
import { seamOf, type Verdict, verdictOf } from "./verdict.ts";
import type { Witnessed } from "./witness.ts";

/** Kept of what went wrong: enough to play it again. */
const SHOWN = 5;

export type Deaths = {
  readonly witnessed: readonly Witnessed[];
  readonly strikes: readonly Strike[];
  /** Models with a second host that lives. */
  readonly twins: string;
  /** Kinds of faults that end the answer at its host. */
  readonly deadly: ReadonlySet<string>;
  /** Of the hosts, when nothing is wrong. */
  readonly ttftMs: number;
  /** How long a host may be silent between tokens: a stall is noticed that much later. */
  readonly betweenTokensMs: number;
  readonly rows: number;
};

type Case = {
  readonly one: Witnessed;
  readonly verdict: Verdict;
  readonly kinds: readonly string[];
  readonly deaths: number;
};

export function judgeDeaths(deaths: Deaths): Finding[] {
  const { witnessed, strikes, twins, deadly, ttftMs, betweenTokensMs, rows } = deaths;
  const byRequest = Map.groupBy(strikes, ({ requestId }) => requestId);
  const cases = witnessed.map((one): Case => {
    const kinds = (byRequest.get(one.requestId ?? "") ?? []).map(({ kind }) => kind);
    return { one, verdict: verdictOf(one), kinds, deaths: kinds.filter((kind) => deadly.has(kind)).length };
  });
  const ofTwins = cases.filter(({ one }) => one.asked.model === twins);
  const alone = cases.filter(({ one }) => one.asked.model !== twins);
  const never = (verdict: Verdict, what: string): Finding => {
    const wrong = cases.filter((each) => each.verdict === verdict);
    return must(what, "0", text(wrong), wrong.length === 0);
  };
  const failed = ofTwins.filter(({ verdict, deaths }) => verdict !== "whole" && deaths <= 1);
  const differing = cases.filter(
    ({ one, verdict }) => verdict === "whole" && one.client.text !== expectedText(one.asked),
  );
  const aloneWrong = alone.filter(({ verdict }) => verdict !== "whole" && verdict !== "error" && verdict !== "refused");
  const undisturbed = ofTwins.filter(({ kinds, verdict }) => kinds.length === 0 && verdict === "whole");
  const died = cases.filter(({ deaths }) => deaths > 0).length;
  return [
    fact("questions", cases.length),
    fact("  whose host died on them", died),
    fact("  by kind", kindsText(strikes)),
    never("truncated", "silent truncations"),
    never("both", "both [DONE] and an error"),
    never("unparsable", "streams with events that cannot be read"),
    must("  of one host alone: neither whole nor one error", "0", text(aloneWrong), aloneWrong.length === 0),
    fact("  of one host alone, died: whole, error, refused", endsText(alone.filter(({ deaths }) => deaths > 0))),
    must("with twins: failed streams (one death)", "0", text(failed), failed.length === 0),
    fact("  with more than one death: whole, error, refused", endsText(ofTwins.filter(({ deaths }) => deaths > 1))),
    must("whole answers that differ from the unbroken one", "0", differencesText(differing), differing.length === 0),
    ...judgeGaps({
      seams: ofTwins.filter(isSeam),
      undisturbed: undisturbed.map(({ one }) => one),
      ttftMs,
      betweenTokensMs,
    }),
    must("rows in the ledger", `= ${cases.length}`, rows, rows === cases.length),
  ];
}

/** Content came before the death and after it. */
function isSeam({ one, deaths, verdict }: Case): boolean {
  return verdict === "whole" && deaths === 1 && seamOf(one) !== null;
}

function endsText(cases: readonly Case[]): string {
  return (["whole", "error", "refused"] as const)
    .map((verdict) => cases.filter((each) => each.verdict === verdict).length)
    .join(", ");
}

function kindsText(strikes: readonly Strike[]): string {
  const byKind = [...Map.groupBy(strikes, ({ kind }) => kind)].sort(([a], [b]) => (a < b ? -1 : 1));
  return byKind.map(([kind, those]) => `${those.length} ${kind}`).join(", ");
}

function differencesText(cases: readonly Case[]): string {
  const shown = cases.slice(0, SHOWN).map(({ one }) => {
    const { content, maxTokens, stop } = one.asked;
    const asked = JSON.stringify({ content, maxTokens, stop });
    const seams = one.raw?.comments.map((comment) => comment.text).filter((text) => text !== "");
    return `${asked} (${seams?.join(", ")}) expected ${JSON.stringify(expectedText(one.asked))}, heard ${JSON.stringify(one.client.text)}`;
  });
  return cases.length === 0 ? "0" : `${text(cases)}: ${shown.join("; ")}`;
}

/** How many, and the first of them: number, what struck it, and what was heard. */
function text(cases: readonly Case[]): string {
  if (cases.length === 0) return "0";
  const shown = cases.slice(0, SHOWN).map(({ one, kinds, verdict }) => {
    const { client, raw, isLost } = one;
    const wire =
      raw === null
        ? `status ${one.status}`
        : `${raw.contentAtMs.length} contents, ${raw.dones} [DONE], errors ${raw.codes.join("+") || "none"}`;
    const heard = [
      `client ${client.end} ${client.code ?? ""}`,
      wire,
      ...(isLost ? ["connection lost"] : []),
      ...(raw?.unparsable ?? []),
    ];
    return `#${one.asked.number} ${one.asked.model} [${kinds.join("+") || "no fault"}] ${verdict}: ${heard.join(", ")}`;
  });
  return `${cases.length} (${shown.join("; ")})`;
}
