/** The running system that the tests of this lane share; those of other lanes have others. */
import { inject } from "vitest";
import { z } from "zod";

const running = z.object({
  gateway: z.string(),
  database: z.string(),
  tokens: z.record(z.string(), z.string()),
  apiKey: z.string(),
  /** Base URL by lab host. */
  hosts: z.record(z.string(), z.string()),
  pid: z.number(),
  stateDir: z.string(),
});

/** Of the runner's, which lets nothing else run in a lane at the same time. */
const lane = process.env.VITEST_POOL_ID;
const response = await fetch(`${inject("stacks")}/${lane}`);
if (!response.ok) throw new Error(`lane ${lane} has no running system: ${await response.text()}`);

export const stack = running.parse(await response.json());
