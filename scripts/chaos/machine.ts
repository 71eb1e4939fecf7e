/** How busy the machine is meanwhile: figures of speed that were taken on one that is too busy say little. */
import { availableParallelism, loadavg } from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";

const RESOLUTION_MS = 10;
const NS_PER_MS = 1e6;

export type Strain = {
  /** How much too late we ourselves were run, at the 99th percentile. */
  readonly lateP99Ms: number;
  /** The last minute's. */
  readonly load: number;
  readonly cores: number;
};

/** Watches from now on. @returns what yields the strain since then, and ends the watch */
export function strain(): () => Strain {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  return () => {
    delay.disable();
    const lateP99Ms = Math.max(0, delay.percentile(99) / NS_PER_MS - RESOLUTION_MS);
    return { lateP99Ms, load: loadavg()[0] ?? 0, cores: availableParallelism() };
  };
}
