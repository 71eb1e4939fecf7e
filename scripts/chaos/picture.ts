/**
 * A run as one SVG picture: for each scenario the answers per second of every host, stacked, with refusals and failures
 * over them, and below that what was waited. Readable on light and on dark ground. Pure.
 */

import { area, curve, fixed, line, type Point, ticks, words } from "#scripts/picture/svg.ts";
import type { Report } from "./play.ts";
import type { Mark, Played } from "./scenario.ts";
import { type Series, seriesOf } from "./series.ts";
import { sum } from "./statistics.ts";

const WIDTH = 960;
const LEFT = 64;
const RIGHT = 150;
const FLOW = { top: 56, height: 150 };
const WAITS = { top: 240, height: 80 };
const PANEL_HEIGHT = 376;
/** Of the text below, on average. */
const CHARACTER_WIDTH = 7;

/** Told apart also by those who see red and green as one (Okabe and Ito), then repeated paler. */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#7a5195", "#8c8c8c"];

/** Written out twice: not every viewer knows variables, and one that knows no dark ground shows the light one. */
const STYLE = `
  .ground { fill: #ffffff; }
  text { fill: #1f2328; font: 11px system-ui, sans-serif; }
  .title { font-size: 15px; font-weight: 600; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  .axis, .mark { stroke: #1f2328; stroke-width: 1; }
  .mark { stroke-dasharray: 3 3; }
  .refused, .failed, .half, .tail, .queue { fill: none; stroke-width: 1.5; }
  .refused { stroke: #1f2328; }
  .failed { stroke: #cf222e; stroke-width: 2.5; }
  .half { stroke: #56b4e9; }
  .tail { stroke: #e69f00; }
  .queue { stroke: #cc79a7; stroke-dasharray: 4 2; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; }
    text { fill: #e6edf3; }
    .grid { stroke: #3d444d; }
    .axis, .mark, .refused { stroke: #e6edf3; }
    .failed { stroke: #ff7b72; }
  }`;

export function pictureOf(reports: readonly Report<Played>[]): string {
  const shown = reports.filter(({ played }) => played.seen.length > 0);
  const height = Math.max(1, shown.length) * PANEL_HEIGHT;
  const panels = shown.map((report, at) => `<g transform="translate(0,${at * PANEL_HEIGHT})">${panel(report)}</g>`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>Who answered, who was refused and what was waited, over time</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" width="${WIDTH}" height="${height}"/>`,
    ...panels,
    "</svg>\n",
  ].join("\n");
}

type Frame = {
  readonly top: number;
  readonly height: number;
  /** What the topmost grid line stands for. */
  readonly most: number;
};

function panel({ name, played }: Report<Played>): string {
  const series = seriesOf(played);
  const { hosts, refusedPerSecond, failedPerSecond, beginsP50Ms, beginsP99Ms, queueWaitP99Ms } = series;
  const totals = refusedPerSecond.map((_, step) => sum(hosts.map(({ perSecond }) => perSecond[step] ?? 0)));
  const flow = frame(FLOW, Math.max(1, ...totals, ...refusedPerSecond));
  const waits = frame(WAITS, Math.max(1, ...known(beginsP99Ms), ...known(queueWaitP99Ms)));
  const drawn = (frame: Frame, values: readonly (number | null)[], kind: string): string =>
    curve(
      values.map((value, step) => (value === null ? null : pointAt(series, frame, step, value))),
      kind,
    );
  const legend = [
    ...hosts.map((host, at) => ({ text: host.name, key: swatch(at) })),
    { text: "refused", key: stroke("refused") },
    { text: "failed", key: stroke("failed") },
  ];
  const waitLegend = [
    { text: "answer begins, p50", key: stroke("half") },
    { text: "answer begins, p99", key: stroke("tail") },
    { text: "in line, p99", key: stroke("queue") },
  ];
  return [
    words(LEFT, 24, name, 'class="title"'),
    axes(series, flow, "per second"),
    stacked(series, flow),
    drawn(flow, refusedPerSecond, "refused"),
    failedPerSecond.some((rate) => rate > 0) ? drawn(flow, failedPerSecond, "failed") : "",
    keys(legend, flow.top),
    marks(series, played.marks),
    axes(series, waits, "ms"),
    drawn(waits, beginsP50Ms, "half"),
    drawn(waits, beginsP99Ms, "tail"),
    drawn(waits, queueWaitP99Ms, "queue"),
    keys(waitLegend, waits.top),
    words((LEFT + WIDTH - RIGHT) / 2, waits.top + waits.height + 34, "seconds", 'text-anchor="middle"'),
  ].join("\n");
}

function frame({ top, height }: { top: number; height: number }, most: number): Frame {
  return { top, height, most: ticks(most).at(-1) ?? most };
}

/** In the middle of its step. */
function pointAt(series: Series, frame: Frame, step: number, value: number): Point {
  return [timeX(series, series.startedAtMs + (step + 0.5) * series.stepMs), valueY(frame, value)];
}

function timeX({ startedAtMs, forMs }: Series, atMs: number): number {
  return LEFT + (Math.min(Math.max(atMs - startedAtMs, 0), forMs) / forMs) * (WIDTH - LEFT - RIGHT);
}

function valueY({ top, height, most }: Frame, value: number): number {
  return top + height * (1 - value / most);
}

function stacked(series: Series, frame: Frame): string {
  const below = series.refusedPerSecond.map(() => 0);
  return series.hosts
    .map(({ perSecond }, at) => {
      const lower = below.map((value, step) => pointAt(series, frame, step, value));
      for (const [step, value] of perSecond.entries()) below[step] = (below[step] ?? 0) + value;
      const upper = below.map((value, step) => pointAt(series, frame, step, value));
      return area([...upper, ...lower.reverse()], colour(at));
    })
    .join("\n");
}

function axes(series: Series, frame: Frame, unit: string): string {
  const right = WIDTH - RIGHT;
  const bottom = frame.top + frame.height;
  const values = ticks(frame.most).map((value) => {
    const y = valueY(frame, value);
    return line([LEFT, y], [right, y], "grid") + words(LEFT - 6, y + 4, fixed(value), 'text-anchor="end"');
  });
  const times = ticks(series.forMs / 1_000)
    .filter((time) => time * 1_000 <= series.forMs)
    .map((time) => {
      const x = timeX(series, series.startedAtMs + time * 1_000);
      return line([x, bottom], [x, bottom + 4], "axis") + words(x, bottom + 16, fixed(time), 'text-anchor="middle"');
    });
  const middle = frame.top + frame.height / 2;
  const turned = `text-anchor="middle" transform="rotate(-90 16 ${fixed(middle)})"`;
  return [...values, ...times, line([LEFT, bottom], [right, bottom], "axis"), words(16, middle, unit, turned)].join(
    "\n",
  );
}

/** What was done, from the top of the flow to the foot of the waits; in words where the next mark leaves room for them. */
function marks(series: Series, done: readonly Mark[]): string {
  return done
    .map(({ atMs, what }, at) => {
      const x = timeX(series, atMs);
      const next = done[at + 1];
      const room = (next === undefined ? WIDTH - RIGHT / 2 : timeX(series, next.atMs)) - x;
      const label = room > what.length * CHARACTER_WIDTH ? words(x + 3, FLOW.top - 8, what) : "";
      return line([x, FLOW.top - 4], [x, WAITS.top + WAITS.height], "mark") + label;
    })
    .join("\n");
}

function keys(entries: readonly { text: string; key: string }[], top: number): string {
  return entries
    .map(
      ({ text, key }, at) =>
        `<g transform="translate(${WIDTH - RIGHT + 12},${fixed(top + 8 + at * 14)})">${key}${words(20, 4, text)}</g>`,
    )
    .join("\n");
}

function swatch(at: number): string {
  return `<rect x="0" y="-5" width="14" height="10" fill="${colour(at)}"/>`;
}

function stroke(kind: string): string {
  return line([0, 0], [14, 0], kind);
}

function colour(at: number): string {
  return COLOURS[at % COLOURS.length] ?? "#8c8c8c";
}

function known(values: readonly (number | null)[]): number[] {
  return values.flatMap((value) => value ?? []);
}
