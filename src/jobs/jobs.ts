/** The table of jobs, in the order in which those due at once are run. */
import { businessReport } from "./business-report.ts";
import { capacity } from "./capacity.ts";
import type { Job } from "./job.ts";
import { modelPerformance } from "./model-performance.ts";
import { reconcile } from "./reconcile.ts";
import { retention } from "./retention.ts";
import { rollups } from "./rollups.ts";

export const JOBS: readonly Job[] = [rollups, businessReport, reconcile, capacity, modelPerformance, retention];

/** The job of a name, or undefined. */
export function jobNamed(name: string): Job | undefined {
  return JOBS.find((job) => job.name === name);
}
