/** Asking one host how it is. The only I/O is the fetcher, which reaches the host as requests do. */
import type { ProbeResult } from "./health.ts";

/** Below the probe interval, above a busy host's worst honest answer. */
const PROBE_WITHIN_MS = 3_000;

/**
 * One probe of `/health`.
 *
 * @param ask reaches a path on the host
 * @returns `loading` for llama.cpp's 503 while a model loads, which is not a failure; never rejects
 */
export async function probe(ask: (path: string, init: RequestInit) => Promise<Response>): Promise<ProbeResult> {
  try {
    const response = await ask("/health", { method: "GET", signal: AbortSignal.timeout(PROBE_WITHIN_MS) });
    if (response.status === 503) return isLoading(await response.text()) ? "loading" : "failed";
    await response.body?.cancel();
    return response.status === 200 ? "healthy" : "failed";
  } catch {
    return "failed";
  }
}

function isLoading(body: string): boolean {
  return body.includes("unavailable_error") && /loading model/i.test(body);
}
