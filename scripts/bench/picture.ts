/**
 * A run as one SVG picture: what a request and what an event cost each contestant, as times of bare workerd, with the
 * marks that Causeway is measured by. Readable on light and on dark ground. Pure.
 */
import { escaped, fixed, line, ticks, words } from "#scripts/picture/svg.ts";
import { CONTESTANTS } from "./contestants/names.ts";
import { type Figure, figureOf, type Measurement, ratios, roundsOf } from "./figures.ts";
import { CPU_PER_EVENT, CPU_PER_REQUEST } from "./goals.ts";
import type { BenchRun } from "./run.ts";
import type { ScenarioName } from "./scenarios.ts";
import { cpuOf, ranged } from "./table.ts";

const WIDTH = 860;
const LEFT = 150;
/** Room for the figures beside the bars. */
const RIGHT = 170;
const HEAD = 64;
const FOOT = 44;
const BAR = { height: 18, step: 30 };
/** One that is much longer than all others would make those unreadable: it is cut off, and its figure says how long. */
const CUT = 2;
/** Beyond the longest that is drawn whole. */
const ROOM = 1.05;

/** Written out twice: not every viewer knows variables, and one that knows no dark ground shows the light one. */
const STYLE = `
  .ground { fill: #ffffff; }
  text { fill: #1f2328; font: 12px system-ui, sans-serif; }
  .title { font-size: 15px; font-weight: 600; }
  .own { font-weight: 600; }
  .figure { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  .bar { fill: #8c959f; }
  .bar-own { fill: #0072b2; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .axis { stroke: #1f2328; stroke-width: 1; }
  .range { stroke: #1f2328; stroke-width: 1.5; }
  .must { stroke: #d55e00; stroke-width: 2; }
  .aim { stroke: #009e73; stroke-width: 2; stroke-dasharray: 5 3; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; }
    text { fill: #e6edf3; }
    .figure { stroke: #0d1117; }
    .bar { fill: #6e7681; }
    .bar-own { fill: #56b4e9; }
    .grid { stroke: #3d444d; }
    .axis, .range { stroke: #e6edf3; }
  }`;

type Marks = { readonly must: number; readonly aim: number };
type Panel = {
  readonly title: string;
  readonly scenario: ScenarioName;
  readonly stream: boolean;
  readonly marks: Marks;
};

const PANELS: readonly Panel[] = [
  {
    title: "CPU per request (JSON, 64 connections)",
    scenario: "json-64",
    stream: false,
    marks: CPU_PER_REQUEST,
  },
  { title: "CPU per event (20 streams, 5 ms apart)", scenario: "streams", stream: true, marks: CPU_PER_EVENT },
];

type Bar = { readonly contestant: string; readonly figure: Figure };

export function pictureOf({ measured, startedAt }: Pick<BenchRun, "measured" | "startedAt">): string {
  const shown = PANELS.map((panel) => ({ panel, bars: barsOf(measured, panel) })).filter(({ bars }) => bars.length > 0);
  const tops: number[] = [];
  let height = 0;
  for (const { bars } of shown) {
    tops.push(height);
    height += HEAD + bars.length * BAR.step + FOOT;
  }
  const drawn = shown.map(
    ({ panel, bars }, at) => `<g transform="translate(0,${fixed(tops[at] ?? 0)})">\n${draw(panel, bars)}\n</g>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${fixed(height)}" width="${WIDTH}" height="${fixed(height)}" role="img">`,
    `<title>${escaped(`CPU per request and per event, as times of bare workerd; measured at ${startedAt}`)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" width="${WIDTH}" height="${fixed(height)}"/>`,
    ...drawn,
    "</svg>\n",
  ].join("\n");
}

function barsOf(measured: readonly Measurement[], { scenario, stream }: Panel): Bar[] {
  const rounds = (contestant: string) => roundsOf(measured, scenario, contestant, cpuOf(stream));
  return Object.values(CONTESTANTS).flatMap((contestant) => {
    const figure = figureOf(ratios(rounds(contestant), rounds(CONTESTANTS.bare)));
    return figure === null ? [] : [{ contestant, figure }];
  });
}

function draw({ title, marks }: Panel, bars: readonly Bar[]): string {
  const most = mostOf(bars, marks);
  const bottom = HEAD + bars.length * BAR.step;
  const x = (times: number): number => LEFT + (Math.min(times, most) / most) * (WIDTH - LEFT - RIGHT);
  const grid = ticks(most)
    .filter((value) => value <= most)
    .map(
      (value) =>
        line([x(value), HEAD - 4], [x(value), bottom], "grid") +
        words(x(value), bottom + 16, fixed(value), 'text-anchor="middle"'),
    );
  const mark = (kind: "must" | "aim", value: number, end: "start" | "end"): string =>
    line([x(value), HEAD - 10], [x(value), bottom], kind) +
    words(x(value) + (end === "start" ? -2 : 2), HEAD - 14, `${kind} ${value}`, `text-anchor="${end}"`);
  return [
    words(16, 26, title, 'class="title"'),
    ...grid,
    ...bars.map((bar, at) => drawBar(bar, HEAD + at * BAR.step, x)),
    mark("aim", marks.aim, "end"),
    mark("must", marks.must, "start"),
    // Over the marks, which would strike them out.
    ...bars.map((bar, at) => label(bar, HEAD + at * BAR.step, x, most)),
    line([LEFT, HEAD - 4], [LEFT, bottom], "axis"),
    words(LEFT + (WIDTH - LEFT - RIGHT) / 2, bottom + 34, "times of bare workerd", 'text-anchor="middle"'),
  ].join("\n");
}

function drawBar({ contestant, figure }: Bar, top: number, x: (times: number) => number): string {
  const own = contestant === CONTESTANTS.causeway;
  const middle = top + BAR.height / 2;
  return [
    words(LEFT - 8, middle + 4, contestant, `text-anchor="end"${own ? ' class="own"' : ""}`),
    `<rect class="${own ? "bar-own" : "bar"}" x="${LEFT}" y="${fixed(top)}" width="${fixed(x(figure.median) - LEFT)}" height="${BAR.height}"/>`,
    line([x(figure.least), middle], [x(figure.most), middle], "range"),
  ].join("\n");
}

/** Beside its bar, or beside its range where that is longer. */
function label({ contestant, figure }: Bar, top: number, x: (times: number) => number, most: number): string {
  const cut = figure.median > most ? "… " : "";
  const own = contestant === CONTESTANTS.causeway ? " own" : "";
  return words(x(figure.most) + 8, top + BAR.height / 2 + 4, cut + ranged(figure), `class="figure${own}"`);
}

/** Causeway's own is never the one that is cut off. */
function mostOf(bars: readonly Bar[], { must }: Marks): number {
  const own = bars.find(({ contestant }) => contestant === CONTESTANTS.causeway)?.figure.median ?? 0;
  const [longest = 0, next = 0] = bars.map(({ figure }) => figure.median).sort((a, b) => b - a);
  return ROOM * Math.max(must, own, longest > CUT * Math.max(must, next) ? next : longest);
}
