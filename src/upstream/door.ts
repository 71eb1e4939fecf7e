/**
 * What an answer says of the doors between the gateway and an engine: Cloudflare Access, the tunnel, the edge. Engines
 * speak JSON and never redirect; doors redirect, or speak HTML, bare text or nothing at all. Pure.
 */

export type DoorsAnswer =
  /** A door refused the gateway itself. The message says what the operator has to do. */
  | { readonly kind: "refused"; readonly message: string; readonly cause: string }
  /** The way behind the door is broken, in a few words without addresses. */
  | { readonly kind: "broken"; readonly cause: string };

const BY_ACCESS =
  "Cloudflare Access refused the gateway's service token. Renew it if it has expired, or compare ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET with the token in the host's Service Auth policy.";
const BY_REDIRECT =
  "The host answered with a redirect, which the gateway does not follow. Behind Cloudflare Access its service token was refused (ACCESS_CLIENT_ID, ACCESS_CLIENT_SECRET); elsewhere the URL in the host's reach is wrong.";
const BY_SOME_DOOR =
  "A door before the engine refused the gateway. Behind Cloudflare Access its service token was refused (ACCESS_CLIENT_ID, ACCESS_CLIENT_SECRET), or the tunnel's audTag is not that of the Access application.";

/** What Cloudflare means by its own status codes (Cloudflare, 5xx errors); 502 and 504 are said by any proxy. */
const EDGE: Readonly<Record<number, string>> = {
  502: "the tunnel, or a proxy, cannot reach the engine",
  504: "the engine was too slow for a proxy on the way",
  520: "the edge did not understand the host's answer",
  521: "the host refused the edge's connection",
  522: "the edge's connection to the host timed out",
  523: "the edge has no way to the host",
  524: "the host was silent for longer than the edge waits",
  525: "the edge and the host agreed on no TLS",
  526: "the edge does not trust the host's certificate",
  530: "the edge has no tunnel to the host",
};

/**
 * Reads a host's answer that is no answer of an engine's.
 *
 * @param body the beginning is enough
 * @returns null where the engine itself may have said it
 */
export function doorsAnswer(status: number, headers: Headers, body: string): DoorsAnswer | null {
  const document = jsonOf(body);
  const refusal = refusalBy(status, headers, body, document);
  if (refusal !== null) return { kind: "refused", message: refusal, cause: refusal };
  const isEdges = (status >= 520 && status <= 530) || (document === null && (status === 502 || status === 504));
  if (!isEdges) return null;
  const words = EDGE[status] ?? "the edge cannot reach the host";
  const code = edgeCodeOf(body, document);
  return { kind: "broken", cause: code === null ? words : `${words} (Cloudflare error ${code})` };
}

function refusalBy(status: number, headers: Headers, body: string, document: object | null): string | null {
  if (status >= 300 && status < 400) return isAccess(headers, body) ? BY_ACCESS : BY_REDIRECT;
  if (status === 401 || status === 403) {
    // The engine's own words for a wrong key are JSON; so are the edge's, with a number of its own.
    if (document !== null && edgeCodeOf("", document) === null) return null;
    return isAccess(headers, body) ? BY_ACCESS : BY_SOME_DOOR;
  }
  if (status !== 200 || document !== null || !/^\s*</.test(body)) return null;
  if (isAccess(headers, body)) return BY_ACCESS;
  return /type=["']?password|sign[ -]?in|log[ -]?in/i.test(body) ? BY_SOME_DOOR : null;
}

function isAccess(headers: Headers, body: string): boolean {
  const said = `${headers.get("location")} ${headers.get("www-authenticate")} ${body}`;
  return (
    headers.has("cf-access-domain") || /cloudflareaccess\.com|\/cdn-cgi\/access\/|cloudflare[ -]access/i.test(said)
  );
}

/** Cloudflare's number for what went wrong, such as 1033: no tunnel is connected. Never anything but digits. */
function edgeCodeOf(body: string, document: object | null): string | null {
  const told = document === null ? undefined : Reflect.get(document, "error_code");
  if (typeof told === "number") return /^1\d{3}$/.test(String(told)) ? String(told) : null;
  return /error(?: code)?:?\s*(1\d{3})\b/i.exec(body)?.[1] ?? null;
}

function jsonOf(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
