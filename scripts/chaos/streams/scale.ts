/** How big each scenario of the streams is. Plain numbers. */

/** Those that are played on a stage. */
const STAGED = ["deaths", "leaving", "held", "readers"] as const;
export const STREAM_SCENARIOS = [...STAGED, "chunkings"] as const;
export type StagedScenario = (typeof STAGED)[number];
export type StreamScenario = (typeof STREAM_SCENARIOS)[number];

export type DeathsScale = {
  /** Of which a tenth to a fifth die at their host (deaths.ts): the more there are, the more are kept off it. */
  readonly questions: number;
  /** Closed loop: a slow machine is asked less, since it is not load that is tested. */
  readonly atOnce: number;
  /** The models' deadlines: a busy machine may be late without being dead. */
  readonly firstTokenMs: number;
  readonly betweenTokensMs: number;
};
export type LeavingScale = { readonly callers: number; readonly perSecond: number };
export type HeldScale = { readonly streams: number; readonly eventsPerSecond: number; readonly forMs: number };
export type ReadersScale = { readonly readers: number; readonly answerBytes: number; readonly forMs: number };
export type ChunkingsScale = { readonly chunkings: number };

export type StreamsScale = {
  readonly deaths: DeathsScale;
  readonly leaving: LeavingScale;
  readonly held: readonly HeldScale[];
  readonly readers: ReadersScale;
  readonly chunkings: ChunkingsScale;
  /** What is played at the same time; figures of speed and memory want a stage of their own. */
  readonly rounds: readonly (readonly StagedScenario[])[];
  readonly progressEveryMs: number;
};

const ONE_BY_ONE = [["deaths"], ["leaving"], ["held"], ["readers"]] as const;
const MINUTE_MS = 60_000;
const ANSWER_BYTES = 10 * 1_024 * 1_024;

export const FULL: StreamsScale = {
  // One in ten dies at its host (breakers keep others from theirs): 5,000 deaths.
  deaths: { questions: 52_000, atOnce: 24, firstTokenMs: 4_000, betweenTokensMs: 2_000 },
  leaving: { callers: 1_000, perSecond: 15 },
  held: [
    { streams: 1_000, eventsPerSecond: 4, forMs: 3 * MINUTE_MS },
    { streams: 600, eventsPerSecond: 20, forMs: MINUTE_MS },
  ],
  readers: { readers: 200, answerBytes: ANSWER_BYTES, forMs: MINUTE_MS },
  chunkings: { chunkings: 10_000 },
  rounds: ONE_BY_ONE,
  progressEveryMs: 5_000,
};

export const SHORT: StreamsScale = {
  deaths: { questions: 1_500, atOnce: 24, firstTokenMs: 4_000, betweenTokensMs: 2_000 },
  leaving: { callers: 200, perSecond: 12 },
  held: [{ streams: 400, eventsPerSecond: 4, forMs: 40_000 }],
  readers: { readers: 60, answerBytes: ANSWER_BYTES, forMs: 20_000 },
  chunkings: { chunkings: 2_000 },
  rounds: ONE_BY_ONE,
  progressEveryMs: 5_000,
};

/** For the tests, which judge no figure of speed or memory; they cut answers into chunks in a file of their own. */
export const BRIEF: StreamsScale = {
  deaths: { questions: 240, atOnce: 16, firstTokenMs: 8_000, betweenTokensMs: 5_000 },
  leaving: { callers: 60, perSecond: 4 },
  held: [{ streams: 60, eventsPerSecond: 4, forMs: 8_000 }],
  readers: { readers: 6, answerBytes: ANSWER_BYTES, forMs: 15_000 },
  chunkings: { chunkings: 0 },
  rounds: [["deaths", "leaving", "held", "readers"]],
  progressEveryMs: 5_000,
};
