/**
 * The paths of an engine that the gateway asks for: what a tunnel lets through, and nothing else, since engines have
 * routes that load adapters, read files or stop the server. Pure.
 */
import type { Host, Offer } from "#src/catalog/host.ts";

/** How a host is asked how it is (src/fleet/probe.ts, and the jobs that read its counters). */
const PROBES: Readonly<Record<Host["engine"], readonly string[]>> = {
  vllm: ["/health", "/metrics", "/v1/models"],
  llamacpp: ["/health", "/metrics", "/slots", "/props", "/v1/models"],
  openai: ["/v1/models"],
};
const TALK = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"];
/** llama.cpp's own route, for hosts without `/v1`. */
const NATIVE_TALK = ["/completion"];
const RENDERING = ["/apply-template"];
const OFFERED: Readonly<Record<Offer, readonly string[]>> = {
  responses: ["/v1/responses"],
  messages: ["/v1/messages", "/v1/messages/count_tokens"],
  rerank: ["/v1/rerank", "/rerank"],
  transcriptions: ["/v1/audio/transcriptions"],
  tokenize: ["/tokenize"],
};

/** Every path that the gateway may ask of any host. */
export const KNOWN_PATHS: readonly string[] = [
  ...new Set([
    ...TALK,
    ...NATIVE_TALK,
    ...RENDERING,
    ...Object.values(OFFERED).flat(),
    ...Object.values(PROBES).flat(),
  ]),
];

/** Every path that the gateway may ask of this host, in a fixed order. */
export function pathsOf({ engine, native, offers }: Pick<Host, "engine" | "native" | "offers">): readonly string[] {
  const probes = native ? PROBES[engine].filter((path) => !path.startsWith("/v1/")) : PROBES[engine];
  // Where a conversation is tokenized it is rendered first, by a route of its own.
  const rendering = engine === "llamacpp" && offers.includes("tokenize") ? RENDERING : [];
  const offered = [...offers.flatMap((offer) => OFFERED[offer]), ...rendering];
  const paths = [...(native ? NATIVE_TALK : TALK), ...offered, ...probes];
  return [...new Set(paths)].sort();
}

/**
 * The allow-list as cloudflared's `path`: a regular expression of Go's (RE2), which is not anchored by itself.
 *
 * @param base what stands before the engine's own paths in the host's URL; empty as a rule
 */
export function pathRuleOf(host: Pick<Host, "engine" | "native" | "offers">, base = ""): string {
  const paths = pathsOf(host).map((path) => escaped(path.slice(1)));
  return `^${escaped(base)}/(${paths.join("|")})$`;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
