/** The two ladders: what is asked on each, and by what its cost is told. Pure. */
import type { Job, Seen } from "../load/job.ts";
import { RUNGS, type Rung, STREAM_RUNGS } from "./rungs.ts";

export type Ladder = {
  readonly name: LadderName;
  /** What a cost is by: "request". */
  readonly by: string;
  readonly rungs: readonly Rung[];
  readonly load: Pick<Job, "stream" | "connections" | "ratePerS" | "answer">;
  readonly count: (seen: Seen) => number;
};

export type LadderName = "requests" | "streams";

/** The load is that of the goals: 64 connections at saturation, and 20 streams with a token every 5 ms. */
export const LADDERS: readonly [Ladder, Ladder] = [
  {
    name: "requests",
    by: "request",
    rungs: RUNGS,
    load: { stream: false, connections: 64, ratePerS: null, answer: { tokens: 50, firstMs: 0, gapMs: 0 } },
    count: ({ requests }) => requests,
  },
  {
    name: "streams",
    by: "event",
    rungs: STREAM_RUNGS,
    load: { stream: true, connections: 20, ratePerS: null, answer: { tokens: 100, firstMs: 0, gapMs: 5 } },
    count: ({ events }) => events,
  },
];
