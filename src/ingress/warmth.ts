/** What of a request may be warm on a host: its key for `fleet/affinity.ts`. Pure. */
import type { Model } from "#src/catalog/schema.ts";
import { affinityKey, MOST_CHARACTERS } from "#src/fleet/affinity.ts";
import { type KnownCall, plainHeader } from "./call.ts";
import { openingText } from "./opening.ts";
import type { Question } from "./question.ts";

/** Null where the catalog does not want it for this model, or nothing would be gained. Only generating keeps anything warm. */
export function warmthOf(
  { request, principal }: Pick<KnownCall, "request" | "principal">,
  { route, body }: Pick<Question, "route" | "body">,
  { affinity }: Pick<Model, "affinity">,
): string | null {
  if (!affinity || (route !== "chat" && route !== "completions")) return null;
  return affinityKey({
    account: principal.accountId,
    tenant: principal.tenant?.id ?? null,
    session: plainHeader(request, "x-session-id"),
    user: typeof body.user === "string" ? body.user : null,
    opening: openingText(body, MOST_CHARACTERS),
  });
}
