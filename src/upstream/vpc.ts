/**
 * A host behind a Workers VPC binding. Where a public hostname answers with a page of the edge's, a binding throws: the
 * code in what it throws is the only trace of what went wrong (Workers VPC, Troubleshoot and debug).
 */

/** What the codes mean, in words for the log. Others may come: the platform is in beta. */
const CODES: Readonly<Record<string, string>> = {
  connection_refused: "the engine does not listen, or a firewall refuses the tunnel",
  connection_terminated: "the engine closed the connection before it answered",
  connection_timeout: "the tunnel's connection to the engine timed out",
  connection_limit_reached: "the engine has as many connections as the platform allows",
  destination_unavailable: "the tunnel is down, or takes the engine for down",
  dns_error: "the tunnel cannot resolve the host; cloudflared must be 2025.7.0 or newer, with protocol: quic",
};

/** What a platform throws is a line, not a page. */
const MAX_MESSAGE = 200;

/** The host could not be reached. The message is for the log. */
export class VpcFailure extends Error {
  override readonly name = "VpcFailure";
}

/**
 * Asks through the binding.
 *
 * @throws VpcFailure when the platform cannot reach the host; the signal's own reason when it was aborted
 */
export async function throughVpc(service: Pick<Fetcher, "fetch">, url: string, init: RequestInit): Promise<Response> {
  try {
    return await service.fetch(url, init);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new VpcFailure(meaningOf(cause), { cause });
  }
}

/** The documentation shows `Error: ProxyError: dns_error`. */
function meaningOf(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code =
    Object.keys(CODES).find((known) => message.includes(known)) ?? /ProxyError: ([a-z_]{1,64})/.exec(message)?.[1];
  if (code === undefined) return `the binding failed: ${message.slice(0, MAX_MESSAGE)}`;
  return `${code}: ${CODES[code] ?? "see the platform's list of Workers VPC errors"}`;
}
