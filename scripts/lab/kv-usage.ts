// How full a vLLM host's KV cache is by its own word: the blocks that running requests hold. What lies in the prefix
// cache and is held by nobody is free to be taken, and counts as free.
import type { RunningJob } from "./machine.ts";
import { BLOCK_TOKENS, MOST_BLOCKS } from "./prefix-cache.ts";

/** Part of all blocks, 0 to 1. Blocks that requests have in common are counted once. */
export function kvUsage(jobs: Iterable<RunningJob>): number {
  const shared = new Set<number>();
  let own = 0;
  for (const job of jobs) {
    if (job.slot() < 0) continue;
    for (const block of job.blocks) shared.add(block);
    own += Math.ceil((job.promptTokens - job.blocks.length * BLOCK_TOKENS + job.decoded()) / BLOCK_TOKENS);
  }
  return Math.min(1, (shared.size + own) / MOST_BLOCKS);
}
