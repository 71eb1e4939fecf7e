/** What the lab's hosts counted themselves. */
import { z } from "zod";

const load = z.object({ most: z.number() });

/** The most requests that a host had at once since `forgetMost`. */
export async function mostAtOnce(host: string): Promise<number> {
  return load.parse(await (await fetch(`${host}/lab/load`)).json()).most;
}

export async function forgetMost(host: string): Promise<void> {
  await (await fetch(`${host}/lab/load`, { method: "DELETE" })).body?.cancel();
}

export type PrefixCounts = { readonly queriedTokens: number; readonly hitTokens: number };

/** Of several hosts together, as vLLM counts them. */
export async function prefixCounts(hosts: readonly string[]): Promise<PrefixCounts> {
  const texts = await Promise.all(hosts.map(async (host) => (await fetch(`${host}/metrics`)).text()));
  const total = (name: string): number => texts.reduce((sum, text) => sum + sampleOf(text, name), 0);
  return {
    queriedTokens: total("vllm:prefix_cache_queries_total"),
    hitTokens: total("vllm:prefix_cache_hits_total"),
  };
}

function sampleOf(exposition: string, name: string): number {
  const line = exposition.split("\n").find((text) => text.startsWith(`${name}{`));
  if (line === undefined) throw new Error(`the lab's /metrics has no ${name}`);
  return Number(line.split(" ").at(-1));
}
