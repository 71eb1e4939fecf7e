/** One figure of a scenario beside its goal. Pure. */

export type Finding = {
  readonly what: string;
  /** Empty where nothing is asked of it. */
  readonly goal: string;
  readonly found: string;
  /** Null where nothing is asked of it. */
  readonly holds: boolean | null;
  /** True where a machine that is too busy breaks it too: latency, throughput, memory. */
  readonly timed: boolean;
};

export function fact(what: string, found: string | number): Finding {
  return { what, goal: "", found: typeof found === "number" ? count(found) : found, holds: null, timed: false };
}

export function must(what: string, goal: string, found: string | number, holds: boolean): Finding {
  return { what, goal, found: typeof found === "number" ? count(found) : found, holds, timed: false };
}

export function mustOnTime(what: string, goal: string, found: string | number, holds: boolean): Finding {
  return { ...must(what, goal, found, holds), timed: true };
}

export function count(number: number): string {
  return number.toLocaleString("en-US");
}

/** @param share 0 to 1; null where there is none */
export function percent(share: number | null): string {
  return share === null || !Number.isFinite(share) ? "none" : `${(share * 100).toFixed(1)} %`;
}

/** @param bytes null where they are not known */
export function kibibytes(bytes: number | null): string {
  return bytes === null ? "not known here" : `${(bytes / 1_024).toFixed(1)} KiB`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

export function milliseconds(ms: number | null): string {
  return ms === null ? "none" : `${Math.round(ms)} ms`;
}

export function seconds(ms: number | null): string {
  return ms === null ? "never" : `${(ms / 1_000).toFixed(1)} s`;
}
