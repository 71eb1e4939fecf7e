/** The load as a process of its own, so that it can be held to a core: takes one job after the other by its channel. */
import type { Job } from "./job.ts";
import { runJob } from "./run-job.ts";

process.on("message", (job: Job) => {
  runJob(job).then(
    (seen) => process.send?.({ seen }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on("disconnect", () => process.exit());
