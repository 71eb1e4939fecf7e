// Prometheus text format, the two forms the engines write: Python's client (labels, floats) and llama.cpp's (bare).
import type { Histogram } from "./meters.ts";

type Labels = Readonly<Record<string, string>>;

export class Exposition {
  readonly #prefix: string;
  readonly #labels: Labels;
  readonly #float: (value: number) => string;
  #text = "";

  /** @param labels on every sample; @param python writes whole numbers as 1.0, as Python's client does */
  constructor(prefix: string, labels: Labels, python: boolean) {
    this.#prefix = prefix;
    this.#labels = labels;
    this.#float = (value) => (python && Number.isInteger(value) ? `${value}.0` : String(value));
  }

  single(kind: "gauge" | "counter", name: string, help: string, value: number): void {
    this.family(kind, name, help, [[{}, value]]);
  }

  /** Several samples of one name; each has labels of its own besides the common ones. */
  family(kind: "gauge" | "counter", name: string, help: string, samples: readonly (readonly [Labels, number])[]): void {
    this.#head(kind, name, help);
    for (const [labels, value] of samples) this.#sample(name, labels, value);
  }

  histogram(name: string, help: string, histogram: Histogram): void {
    this.#head("histogram", name, help);
    let below = 0;
    histogram.bounds.forEach((bound, index) => {
      below += histogram.counts[index] ?? 0;
      this.#sample(`${name}_bucket`, { le: this.#float(bound) }, below);
    });
    this.#sample(`${name}_bucket`, { le: "+Inf" }, histogram.count);
    this.#sample(`${name}_count`, {}, histogram.count);
    this.#sample(`${name}_sum`, {}, histogram.sum);
  }

  toString(): string {
    return this.#text;
  }

  #head(kind: string, name: string, help: string): void {
    this.#text += `# HELP ${this.#prefix}${name} ${help}\n# TYPE ${this.#prefix}${name} ${kind}\n`;
  }

  #sample(name: string, labels: Labels, value: number): void {
    // Sorted by name, as both writers' readers have come to expect from Python's client.
    const all = Object.entries({ ...this.#labels, ...labels }).sort(([a], [b]) => (a < b ? -1 : 1));
    const inside = all.map(([key, found]) => `${key}="${labelValue(found)}"`).join(",");
    this.#text += `${this.#prefix}${name}${inside === "" ? "" : `{${inside}}`} ${this.#float(value)}\n`;
  }
}

/** A value safe between the quotes of a label. */
function labelValue(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
