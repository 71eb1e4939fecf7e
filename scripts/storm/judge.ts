/** The judgement on a storm: what was sent, what is on record, and what must be true of the two. Pure. */
import type { Sent } from "./caller.ts";
import type { Accounts, Generation, Ledger, Row } from "./records.ts";

export type Facts = {
  readonly sent: readonly Sent[];
  readonly ledger: Ledger;
  readonly truth: readonly Generation[];
  readonly accounts: Accounts;
  /** Ids of the messages that were no events. */
  readonly poison: readonly string[];
};

export type Finding = {
  readonly what: string;
  readonly found: string;
  /** Null where nothing is asked of it. */
  readonly holds: boolean | null;
};

/** Why a row and its generation may differ, or may not. */
type Fate = "its end" | "a host's cut" | "its caller left" | "a kill" | "another end" | "no host";

type Pair = { readonly row: Row; readonly generation: Generation | null; readonly fate: Fate };

export function judge({ sent, ledger, truth, accounts, poison }: Facts): Finding[] {
  const { rows } = ledger;
  const answered = sent.filter(({ status }) => status === 200).map(({ question }) => question.number);
  const byQuestion = Map.groupBy(rows, (row) => row.question);
  const lost = answered.filter((number) => !byQuestion.has(number));
  const doubled = [...byQuestion.values()].filter(({ length }) => length > 1);
  const ids = new Set(rows.map(({ id }) => id));
  const letters = new Set(ledger.deadLetters);
  const { openLeases, unacknowledged } = accounts;
  return [
    fact("requests sent", sent.length),
    fact("  answered (status 200 and a first byte)", answered.length),
    fact(
      "  refused, or failed before an answer",
      sent.filter(({ status }) => status !== null && status !== 200).length,
    ),
    fact("  callers who left", sent.filter(({ end }) => end === "left").length),
    fact("  connections lost", sent.filter(({ end }) => end === "lost").length),
    must("rows in the ledger = unique ids", `${count(rows.length)} = ${count(ids.size)}`, rows.length === ids.size),
    must("answered requests without a row (lost)", count(lost.length), lost.length === 0),
    must("requests with more than one row (doubled)", count(doubled.length), doubled.length === 0),
    ...tokenFindings(rows, truth, ids),
    must(
      "messages that are no events = dead letters",
      `${count(poison.length)} = ${count(ledger.deadLetters.length)}`,
      poison.length === ledger.deadLetters.length && poison.every((id) => letters.has(id)),
    ),
    must("open leases after their expiry", count(openLeases), openLeases === 0),
    must("events that an outbox still keeps", count(unacknowledged), unacknowledged === 0),
    must("sums of the minutes = sums of the rows", sumsText(ledger), sumsAgree(ledger)),
  ];
}

/**
 * The generation that a row is about: the last one of the host that it names, for others may have begun one that came to
 * nothing. A row that was written before a host was known names none. An answer of several parts is one generation of
 * all of them, with what was made again at the seams.
 */
function pairUp(rows: readonly Row[], truth: readonly Generation[]): Pair[] {
  const ofRequest = Map.groupBy(truth, ({ requestId }) => requestId);
  return rows.map((row) => {
    const begun = ofRequest.get(row.id) ?? [];
    const last = begun.findLast(({ host }) => row.host === null || host === row.host) ?? null;
    const parts = row.hosts.flatMap((name) => begun.findLast(({ host }) => host === name) ?? []);
    const [first] = parts;
    const generation =
      last === null || first === undefined || parts.length < 2
        ? last
        : {
            ...last,
            promptTokens: first.promptTokens,
            completionTokens: sum(parts.map(({ completionTokens }) => completionTokens)) - madeAgain(row),
          };
    return { row, generation, fate: fateOf(row, generation) };
  });
}

/** Where the caller left, what it had not read is wasted as well, and nothing tells the one from the other. */
function madeAgain({ outcome, wastedTokens }: Row): number {
  return outcome === "client_left" ? 0 : (wastedTokens ?? 0);
}

function fateOf({ outcome }: Row, generation: Generation | null): Fate {
  if (outcome === "client_left") return "its caller left";
  if (outcome === "abandoned") return "a kill";
  if (generation === null) return "no host";
  if (outcome === "complete") return "its end";
  return outcome === "upstream_error" && generation.ended === "fault" ? "a host's cut" : "another end";
}

function tokenFindings(rows: readonly Row[], truth: readonly Generation[], ids: ReadonlySet<string>): Finding[] {
  const pairs = pairUp(rows, truth);
  const of = (fate: Fate): Pair[] => pairs.filter((pair) => pair.fate === fate);
  const exact = (fate: Fate, what: string): Finding => {
    const wrong = of(fate).filter((pair) => differs(pair));
    return must(what, `${tokensText(of(fate))}; ${count(wrong.length)} differ`, wrong.length === 0);
  };
  const left = of("its caller left");
  const measured = left.filter(({ row, generation }) => !row.estimated && generation !== null);
  const above = measured.filter(({ row, generation }) => row.completionTokens > (generation?.completionTokens ?? 0));
  const short = measured.filter((pair) => differs(pair));
  const idle = of("no host").filter(({ row }) => row.promptTokens + row.completionTokens > 0);
  const unknown = truth.filter(({ requestId }) => !ids.has(requestId));
  return [
    exact("its end", "tokens of answers that ran to their end"),
    exact("a host's cut", "tokens of streams that their host cut"),
    must(
      "tokens where no host worked",
      `${count(of("no host").length)} rows; ${count(idle.length)} with any`,
      idle.length === 0,
    ),
    fact("tokens of streams whose caller left", tokensText(measured)),
    must("  more in the ledger than in the truth", count(above.length), above.length === 0),
    fact("  less", `${count(short.length)} of ${count(measured.length)}`),
    fact("  left before a host had said anything (estimated)", left.length - measured.length),
    fact("tokens of requests in flight at a kill (abandoned)", tokensText(of("a kill"))),
    fact("tokens of answers that ended otherwise", tokensText(of("another end"))),
    fact("generations without a row (killed before an answer)", unknown.length),
  ];
}

function differs({ row, generation }: Pair): boolean {
  return row.promptTokens !== generation?.promptTokens || row.completionTokens !== generation.completionTokens;
}

function tokensText(pairs: readonly Pair[]): string {
  const ledger = sum(pairs.map(({ row }) => row.promptTokens + row.completionTokens));
  const truth = sum(pairs.map(({ generation: made }) => (made?.promptTokens ?? 0) + (made?.completionTokens ?? 0)));
  const difference = ledger === truth ? "equal" : `${ledger > truth ? "+" : ""}${count(ledger - truth)}`;
  return `${count(pairs.length)} rows, ledger ${count(ledger)}, truth ${count(truth)}: ${difference}`;
}

function sumsAgree({ rowSums, minuteSums }: Ledger): boolean {
  return (
    rowSums.requests === minuteSums.requests &&
    rowSums.promptTokens === minuteSums.promptTokens &&
    rowSums.completionTokens === minuteSums.completionTokens &&
    rowSums.costMicros === minuteSums.costMicros
  );
}

function sumsText({ rowSums, minuteSums }: Ledger): string {
  const tokens = ({ promptTokens, completionTokens }: Ledger["rowSums"]): string =>
    count(promptTokens + completionTokens);
  return `${count(minuteSums.requests)} requests, ${tokens(minuteSums)} tokens = ${count(rowSums.requests)}, ${tokens(rowSums)}`;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const count = (number: number): string => number.toLocaleString("en-US");
const fact = (what: string, found: number | string): Finding => ({
  what,
  found: typeof found === "number" ? count(found) : found,
  holds: null,
});
const must = (what: string, found: string, holds: boolean): Finding => ({ what, found, holds });
