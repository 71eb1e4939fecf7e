/** Pieces of an SVG drawing as text: numbers, paths, words. Pure; knows nothing of what is drawn. */

export type Point = readonly [x: number, y: number];

/** A tenth of a pixel is finer than anyone sees. */
export function fixed(number: number): string {
  return String(Math.round(number * 10) / 10);
}

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

export function words(x: number, y: number, text: string, attributes = ""): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" ${attributes}>${escaped(text)}</text>`;
}

export function line([x1, y1]: Point, [x2, y2]: Point, kind: string): string {
  return `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" class="${kind}"/>`;
}

/** A filled shape, closed by itself. */
export function area(points: readonly Point[], fill: string): string {
  return points.length === 0 ? "" : `<path d="${through(points)}Z" fill="${fill}"/>`;
}

/** Lines through points, broken where there is none. */
export function curve(points: readonly (Point | null)[], kind: string): string {
  const runs: Point[][] = [[]];
  for (const point of points) {
    if (point === null) runs.push([]);
    else runs.at(-1)?.push(point);
  }
  const d = runs
    .filter(({ length }) => length > 0)
    .map((run) => through(run))
    .join("");
  return d === "" ? "" : `<path d="${d}" class="${kind}"/>`;
}

function through(points: readonly Point[]): string {
  return points.map(([x, y], at) => `${at === 0 ? "M" : "L"}${fixed(x)},${fixed(y)}`).join("");
}

/** Round numbers from 0 to at least the most, four to eight of them. */
export function ticks(most: number): number[] {
  const rough = Math.max(most, Number.MIN_VALUE) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, at) => at * step);
}
