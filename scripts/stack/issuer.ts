/** The identity side of a stack: starts the local issuer, or looks at the operator's, and fetches access tokens. */
import type { IssuerKeys } from "./issuer-keys.ts";
import { issuerKeysPath } from "./issuer-keys.ts";
import { PRINCIPAL_NAMES } from "./principals.ts";
import { inRepository } from "./repository.ts";
import type { StateDir } from "./state-dir.ts";
import type { Supervisor } from "./supervisor.ts";

export const ISSUER_PORT = 9400;
export const AUDIENCE = "causeway";
/** Ten minutes, as the identity provider on the premises is set. */
export const TOKEN_TTL_S = 600;

const READY_LIMIT_MS = 20_000;
const ANSWER_LIMIT_MS = 5_000;

/** Starts the local issuer and waits for its discovery document. Returns its issuer URL. */
export async function startIssuer(supervisor: Supervisor, state: StateDir, port: number): Promise<string> {
  const part = supervisor.launch({
    name: "issuer",
    command: process.execPath,
    args: [inRepository("scripts", "stack", "issuer-main.ts"), String(port), issuerKeysPath(state)],
    cwd: state.root,
    ipc: true,
  });
  const url = `http://127.0.0.1:${port}`;
  return supervisor.ready(part, READY_LIMIT_MS, async () => ((await issuerTrouble(url)) === null ? url : null));
}

/** Null when the issuer's discovery document can be had and names this very issuer, else what is wrong. */
export async function issuerTrouble(issuer: string): Promise<string | null> {
  try {
    const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const response = await fetch(address, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
    if (!response.ok) return `its discovery document answers ${response.status}`;
    const document: unknown = await response.json();
    const named = typeof document === "object" && document !== null && "issuer" in document ? document.issuer : null;
    return named === issuer ? null : `its discovery document names the issuer ${String(named)}`;
  } catch {
    return "its discovery document cannot be fetched";
  }
}

/**
 * A fresh access token of a principal, good for ten minutes.
 *
 * @throws Error when the issuer does not give one
 */
export async function fetchToken(issuer: string, name: string, secret: string): Promise<string> {
  const response = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString("base64")}` },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
    signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
  });
  const body: unknown = await response.json();
  const token = typeof body === "object" && body !== null && "access_token" in body ? body.access_token : null;
  if (!response.ok || typeof token !== "string") throw new Error(`the issuer answers ${response.status} for ${name}`);
  return token;
}

/** A fresh token of every principal, by name. */
export async function fetchTokens(issuer: string, keys: IssuerKeys): Promise<Record<string, string>> {
  const tokens = PRINCIPAL_NAMES.map(async (name) => [name, await fetchToken(issuer, name, keys.clients[name] ?? "")]);
  return Object.fromEntries(await Promise.all(tokens));
}
