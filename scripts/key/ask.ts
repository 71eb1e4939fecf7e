/** Asking a gateway's `/admin/keys`: one request, and what came back, or a refusal that says what to do. */
import { z } from "zod";
import { freshToken } from "../stack/fresh-token.ts";
import { Refusal } from "../stack/refusal.ts";
import type { Command, Request } from "./command.ts";

const ANSWER_WITHIN_MS = 15_000;

export const apiKey = z.object({
  /** The text: only of a key that was made just now. */
  key: z.string().optional(),
  id: z.string(),
  owner: z.string(),
  tier: z.string(),
  scopes: z.array(z.string()),
  label: z.string(),
  state: z.string(),
  createdAt: z.string(),
  expiresAt: z.string(),
  retiresAt: z.string().nullable(),
  lastUsedAt: z.string().nullable(),
  replaces: z.object({ id: z.string(), retiresAt: z.string() }).optional(),
});
export type ApiKey = z.infer<typeof apiKey>;

const page = z.object({ data: z.array(z.unknown()), next: z.string().nullable() });
const problem = z.object({ code: z.string(), detail: z.string() });

export type Gateway = { readonly url: string; readonly token: string };

/**
 * The gateway that a command is for.
 *
 * @throws Refusal when there is none, or no token for it
 */
export async function gatewayOf({ gateway, stateDir }: Command, env: NodeJS.ProcessEnv): Promise<Gateway> {
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

/** Every page of a list. @throws Refusal */
export async function askAll(gateway: Gateway, request: Request): Promise<unknown[]> {
  const keys: unknown[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const path: string = cursor === "" ? request.path : `${request.path}&cursor=${cursor}`;
    const answer = page.parse(await ask(gateway, { ...request, path }));
    keys.push(...answer.data);
    cursor = answer.next;
  }
  return keys;
}

/**
 * One request.
 *
 * @returns the answer's document
 * @throws Refusal (exit code 1) when the gateway cannot be reached or refuses
 */
export async function ask({ url, token }: Gateway, { method, path, body }: Request): Promise<unknown> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(url + path, {
    method,
    headers,
    body: body === null ? null : JSON.stringify(body),
    // The token is for this gateway and not for where it might send us.
    redirect: "error",
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  }).catch((error: unknown) => {
    throw new Refusal(1, `The gateway ${url} does not answer (${reasonOf(error)}). Does it run?`);
  });
  const document: unknown = await response.json().catch(() => null);
  if (response.ok && document !== null) return document;
  const said = problem.safeParse(document);
  if (!said.success) throw new Refusal(1, `${url} answers ${response.status} and not as a gateway does: is it one?`);
  throw new Refusal(said.data.code === "invalid_value" ? 2 : 1, `${said.data.detail}${adviceOn(said.data.code)}`);
}

function adviceOn(code: string): string {
  if (code === "unavailable") return " Nothing that was made is lost: give the same command again.";
  if (code === "key_not_found") return " The ids are in: npm run key -- list";
  if (code === "invalid_api_key") return " The token in CAUSEWAY_ADMIN_TOKEN may have expired.";
  if (code === "insufficient_permissions") return " It takes an administrator's token (role ai-admins).";
  return "";
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
