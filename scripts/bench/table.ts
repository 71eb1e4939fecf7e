/** Figures as tables, for a terminal and for Markdown. A column that nobody fills is left out. Pure. */
import { CONTESTANTS } from "./contestants/names.ts";
import {
  bytesByStream,
  cpuPerEventUs,
  cpuPerRequestUs,
  differences,
  doubt,
  type Figure,
  failuresOf,
  figureOf,
  type Measure,
  type Measurement,
  NOISE,
  ratios,
  residentBytes,
  roundsOf,
  variation,
} from "./figures.ts";
import type { Judged } from "./goals.ts";
import type { Scenario } from "./scenarios.ts";

const NONE = "–";
const US_PER_MS = 1_000;
const BYTES_PER_KB = 1_000;
const BYTES_PER_MB = 1e6;
/** A scenario with so many streams is there for what they take of memory. */
const MANY_STREAMS = 100;

export type Table = {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** What must be known with it, a sentence each. */
  readonly notes: readonly string[];
};

type Column = { readonly title: string; readonly of: (contestant: string) => string };

/** One scenario: a line for each contestant that was in it, in the order of the names. */
export function tableOf(all: readonly Measurement[], scenario: Scenario): Table {
  const { name, about } = scenario;
  const inIt = new Set(all.filter((one) => one.scenario === name).map(({ contestant }) => contestant));
  const contestants = Object.values(CONTESTANTS).filter((contestant) => inIt.has(contestant));
  const columns = columnsOf(all, scenario)
    .map(({ title, of }) => ({ title, cells: contestants.map(of) }))
    .filter(({ cells }) => cells.some((cell) => cell !== NONE));
  return {
    title: `${name}: ${about}`,
    header: ["", ...columns.map(({ title }) => title)],
    rows: contestants.map((contestant, at) => [contestant, ...columns.map(({ cells }) => cells[at] ?? NONE)]),
    notes: [...noise(all, scenario), ...contestants.flatMap((contestant) => failureNotes(all, scenario, contestant))],
  };
}

function columnsOf(all: readonly Measurement[], { name, load }: Scenario): Column[] {
  const { stream, connections, answer } = load;
  const rounds = (contestant: string, measure: Measure) => roundsOf(all, name, contestant, measure);
  const median = (measure: Measure, show: (value: number) => string) => (contestant: string) =>
    shown(figureOf(rounds(contestant, measure)), ({ median }) => show(median));
  /** What it adds to the engine's own; of the engine itself its own, without a sign. */
  const added = (measure: Measure) => (contestant: string) => {
    const own = rounds(contestant, measure);
    if (contestant === CONTESTANTS.direct) return shown(figureOf(own), ({ median }) => ms(median));
    return shown(figureOf(differences(own, rounds(CONTESTANTS.direct, measure))), ({ median }) => signed(median));
  };
  const cpu = cpuOf(stream);
  const inAll = stream ? "first token" : "answer";
  const both: Column[] = [
    { title: stream ? "CPU µs/event" : "CPU µs/request", of: median(cpu, short) },
    {
      title: "x B",
      of: (contestant) => shown(figureOf(ratios(rounds(contestant, cpu), rounds(CONTESTANTS.bare, cpu))), ranged),
    },
    { title: `${inAll} p50`, of: added(({ latencyUs }) => latencyUs.p50) },
    { title: `${inAll} p99`, of: added(({ latencyUs }) => latencyUs.p99) },
  ];
  const ofStreams: Column[] = [
    { title: "event delay p50", of: median(({ delayUs }) => delayUs.p50, ms) },
    { title: "event delay p99", of: median(({ delayUs }) => delayUs.p99, ms) },
    { title: "jitter p50", of: median(({ jitterUs }) => (answer.gapMs > 0 ? jitterUs.p50 : null), ms) },
    { title: "jitter p99", of: median(({ jitterUs }) => (answer.gapMs > 0 ? jitterUs.p99 : null), ms) },
    { title: "stall-free", of: median(stallFree, (share) => `${(share * 100).toFixed(1)} %`) },
  ];
  const ofMany: Column = {
    title: "KB/stream",
    of: (contestant) =>
      shown(bytesByStream(all, name, contestant, connections), ({ median }) => (median / BYTES_PER_KB).toFixed(0)),
  };
  return [
    ...both,
    ...(stream ? ofStreams : []),
    ...(stream && connections >= MANY_STREAMS ? [ofMany] : []),
    { title: "resident", of: median(residentBytes, (bytes) => `${(bytes / BYTES_PER_MB).toFixed(0)} MB`) },
    { title: "failed", of: (contestant) => String(failuresOf(all, name, contestant).failed) },
  ];
}

export function cpuOf(stream: boolean): Measure {
  return stream ? cpuPerEventUs : cpuPerRequestUs;
}

const stallFree: Measure = ({ streams, stallFree }) => (streams > 0 ? stallFree / streams : null);

/** By what bare workerd varied more than a measure may: of that this scenario tells nothing. */
function noise(all: readonly Measurement[], { name, load }: Scenario): string[] {
  const measures: readonly (readonly [what: string, measure: Measure])[] = [
    ["CPU", cpuOf(load.stream)],
    [load.stream ? "first token" : "answer", ({ latencyUs }) => latencyUs.p50],
    ["event delay", ({ delayUs }) => delayUs.p50],
  ];
  const noisy = measures.flatMap(([what, measure]) => {
    if (doubt(all, name, measure) !== "too noisy") return [];
    const apart = (variation(roundsOf(all, name, CONTESTANTS.bare, measure)) ?? 0) * 100;
    return [`${what} by ${apart.toFixed(0)} %`];
  });
  if (noisy.length === 0) return [];
  const limit = `more than ${NOISE * 100} %`;
  return [`Too noisy for a verdict (${limit}): ${CONTESTANTS.bare} itself varied in ${noisy.join(", ")}.`];
}

function failureNotes(all: readonly Measurement[], { name }: Scenario, contestant: string): string[] {
  const { failed, first, silent } = failuresOf(all, name, contestant);
  return [
    ...(failed > 0
      ? [`${contestant}: ${failed} failed, the first with: ${(first ?? "nothing").replaceAll(/\s+/g, " ").trim()}`]
      : []),
    ...(silent > 0 ? [`${contestant}: nothing came back in ${silent} of the windows`] : []),
  ];
}

export function goalsTable(judged: readonly Judged[]): Table {
  const isMeasured = ({ verdict }: Judged): boolean => verdict !== "not measured";
  const others = judged.filter((one) => !isMeasured(one)).map(({ what }) => what);
  return {
    title: "Causeway by its goals",
    header: ["", "must", "aim", "found", ""],
    rows: judged.filter(isMeasured).map(({ what, must, aim, unit, atLeast, found, verdict }) => {
      const limit = (value: number): string => `${atLeast ? "≥" : "≤"} ${value.toLocaleString("en-US")} ${unit}`.trim();
      return [what, limit(must), limit(aim), shown(found, (figure) => `${ranged(figure)} ${unit}`.trim()), verdict];
    }),
    notes: others.length === 0 ? [] : [`Not measured in this run: ${others.join("; ")}.`],
  };
}

export function asText({ title, header, rows, notes }: Table): string {
  const widths = header.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const lineOf = (cells: readonly string[]): string =>
    `  ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  ")}`.trimEnd();
  return [title, lineOf(header), ...rows.map(lineOf), ...notes.map((note) => `  ${note}`)].join("\n");
}

export function asMarkdown({ title, header, rows, notes }: Table): string {
  const lineOf = (cells: readonly string[]): string => `| ${cells.map(plain).join(" | ")} |`;
  const rule = `|---${"|--:".repeat(header.length - 1)}|`;
  const table = [lineOf(header), rule, ...rows.map(lineOf)].join("\n");
  return [
    `### ${plain(title)}`,
    table,
    ...(notes.length === 0 ? [] : [notes.map((note) => `- ${plain(note)}`).join("\n")]),
  ].join("\n\n");
}

/** What a contestant says when it fails is anybody's text: on one line, and nothing of it means anything to Markdown. */
export function plain(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll(/[\\`*_|<>[\]#]/g, "\\$&");
}

function shown(figure: Figure | null, how: (figure: Figure) => string): string {
  return figure === null ? NONE : how(figure);
}

/** The median with the least and the most: "2.41 [2.35–2.60]". */
export function ranged({ median, least, most }: Figure): string {
  // What is exact, such as a count, has no digits to lose.
  if (least === most && Number.isInteger(median)) return median.toLocaleString("en-US");
  return least === most ? short(median) : `${short(median)} [${short(least)}–${short(most)}]`;
}

/** Three digits that say something. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(size >= 10 ? 1 : 2);
}

function ms(us: number): string {
  return `${(us / US_PER_MS).toFixed(2)} ms`;
}

function signed(us: number): string {
  return `${us < 0 ? "−" : "+"}${ms(Math.abs(us))}`;
}
