/**
 * The consumer of the queue `jobs`: one message, one job. Every message is acknowledged whatever became of it, because
 * what is still due the next minute's cron finds again.
 */
import { z } from "zod";
import type { Env } from "#src/env.ts";
import { jobNamed } from "./jobs.ts";
import { runDue } from "./run.ts";
import { surroundingsOf } from "./surroundings.ts";

const message = z.object({ v: z.literal(1), job: z.string() });

/** Never throws. */
export async function consumeJobs(
  batch: { readonly messages: readonly Pick<Message<unknown>, "body" | "ack">[] },
  env: Env,
): Promise<void> {
  for (const delivery of batch.messages) {
    const parsed = message.safeParse(delivery.body);
    const job = parsed.success ? jobNamed(parsed.data.job) : undefined;
    try {
      if (job === undefined) throw new Error("no message of a job");
      const ran = await runDue(job, surroundingsOf(env));
      if (ran.kind === "busy") console.log(JSON.stringify({ at: "jobs.busy", job: job.name }));
    } catch (cause) {
      console.error(JSON.stringify({ at: "jobs.consume", job: job?.name ?? null, cause: String(cause) }));
    }
    delivery.ack();
  }
}
