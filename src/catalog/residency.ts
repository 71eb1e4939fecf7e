/** Where hosts stand, and what must not leave the operator's own premises. Grammar only, like `schema.ts`. */
import { z } from "zod";

/** Of a host. */
export const location = z.enum(["on-prem", "cloud"]);

/** Of what is asked: `on-prem` is never sent to a host in the cloud. There is no other: nothing has to leave. */
export const residency = z.literal("on-prem");

export type Location = z.infer<typeof location>;
