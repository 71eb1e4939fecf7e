/** What `/admin/keys` answers: a key, and a list of keys over all of its pages. */
import { z } from "zod";
import { ask, type Gateway, type Request } from "../gateway/ask.ts";

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
/** What to do about refusals that are about keys. */
export const KEY_ADVICE = {
  unavailable: "Nothing that was made is lost: give the same command again.",
  key_not_found: "The ids are in: npm run key -- list",
};

/** Every page of a list. @throws Refusal */
export async function askAll(gateway: Gateway, request: Request): Promise<unknown[]> {
  const keys: unknown[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const path: string = cursor === "" ? request.path : `${request.path}&cursor=${cursor}`;
    const answer = page.parse(await ask(gateway, { ...request, path }, { advice: KEY_ADVICE }));
    keys.push(...answer.data);
    cursor = answer.next;
  }
  return keys;
}
