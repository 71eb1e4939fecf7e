/** Asking a gateway's `/admin`: one request of an administrator, and what came back, or a refusal that says what to do. */
import { z } from "zod";
import { freshToken } from "../stack/fresh-token.ts";
import { Refusal } from "../stack/refusal.ts";
import type { Where } from "./where.ts";

const ANSWER_WITHIN_MS = 15_000;

export type Gateway = { readonly url: string; readonly token: string };

export type Request = {
  readonly method: "GET" | "POST" | "DELETE";
  /** Below the gateway, with its query. */
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>> | null;
};

export type Asking = {
  /** What to do about a refusal, by its code: a sentence that is said behind the gateway's own. */
  readonly advice?: Readonly<Record<string, string>>;
  readonly withinMs?: number;
};

const ADVICE: Readonly<Record<string, string>> = {
  invalid_api_key: "The token in CAUSEWAY_ADMIN_TOKEN may have expired.",
  insufficient_permissions: "It takes an administrator's token (role ai-admins).",
};

const problem = z.object({ code: z.string(), detail: z.string() });

/**
 * The gateway that a command is for.
 *
 * @throws Refusal when there is none, or no token for it
 */
export async function gatewayOf({ gateway, stateDir }: Where, env: NodeJS.ProcessEnv): Promise<Gateway> {
  if (gateway === null) {
    const advice = "get an administrator's token there, and use --gateway URL with CAUSEWAY_ADMIN_TOKEN.";
    const { stack, token } = await freshToken(stateDir, "admin", advice);
    return { url: stack.gateway, token };
  }
  const token = env.CAUSEWAY_ADMIN_TOKEN;
  if (token === undefined || token === "")
    throw new Refusal(2, "--gateway needs an administrator's access token in the variable CAUSEWAY_ADMIN_TOKEN.");
  return { url: gateway, token };
}

/**
 * One request.
 *
 * @returns the answer's document
 * @throws Refusal (exit code 1, or 2 for a field that is wrong) when the gateway cannot be reached or refuses
 */
export async function ask(
  { url, token }: Gateway,
  { method, path, body }: Request,
  { advice = {}, withinMs = ANSWER_WITHIN_MS }: Asking = {},
): Promise<unknown> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(url + path, {
    method,
    headers,
    body: body === null ? null : JSON.stringify(body),
    // The token is for this gateway and not for where it might send us.
    redirect: "error",
    signal: AbortSignal.timeout(withinMs),
  }).catch((error: unknown) => {
    throw new Refusal(1, `The gateway ${url} does not answer (${reasonOf(error)}). Does it run?`);
  });
  const document: unknown = await response.json().catch(() => null);
  if (response.ok && document !== null) return document;
  const said = problem.safeParse(document);
  if (!said.success) throw new Refusal(1, `${url} answers ${response.status} and not as a gateway does: is it one?`);
  const { code, detail } = said.data;
  const what = { ...ADVICE, ...advice }[code];
  throw new Refusal(code === "invalid_value" ? 2 : 1, what === undefined ? detail : `${detail} ${what}`);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
