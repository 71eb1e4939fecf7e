/**
 * Where a caller stands, spending nothing: `GET /v1/limits`, and the RateLimit headers of answers that needed no lease.
 */
import { z } from "zod";
import type { Tier } from "#src/catalog/tier.ts";
import type { Standings } from "#src/limits/account.ts";
import { allowanceOf } from "#src/limits/allowance.ts";
import { rateLimitHeaders } from "#src/limits/headers.ts";
import { Problem } from "#src/problem.ts";
import { within } from "#src/within.ts";
import type { KnownCall } from "./call.ts";
import { queryOf } from "./fields.ts";
import { modelOf } from "./models.ts";

const RETRY_AFTER_S = 2;
/** Headers that come late are left out: the answer itself does not wait for them. */
const HEADERS_WITHIN_MS = 500;

const query = z.strictObject({ model: z.string().min(1).nullable().default(null) });

/** The caller's tier. @throws Problem `misconfigured` when the catalog lacks one that every catalog has */
export function tierOf({ catalog, principal }: KnownCall): Tier {
  const tier = catalog.tiers[principal.tier] ?? catalog.tiers.default;
  if (tier === undefined) throw new Problem("misconfigured", { cause: "catalog: tiers.default is missing" });
  return tier;
}

/**
 * `GET /v1/limits`: every limit of the caller, with what is left of it; with `?model=` those that hold for the model.
 *
 * @throws Problem `model_not_found`, `invalid_value`, or `limits_unavailable`
 */
export async function limitsPage(call: KnownCall): Promise<Response> {
  const { model } = queryOf(query, call.request.url);
  // Also for a key that may use models and not list them.
  const modelId = model === null ? null : modelOf(call, model, "own").id;
  const { windows, slots } = await standing(call, modelId).catch((cause: unknown) => {
    throw new Problem("limits_unavailable", { retryAfterS: RETRY_AFTER_S, cause });
  });
  const data = [
    ...windows.map(({ limit: { name, unit, max, windowMs }, remaining, resetMs }) => {
      return {
        name,
        unit: unit === "micros" ? "usd-micros" : unit,
        limit: max,
        remaining,
        window_seconds: windowMs / 1000,
        reset_seconds: Math.ceil(resetMs / 1000),
      };
    }),
    ...slots.map(({ slot: { name, max }, remaining }) => {
      return { name, unit: "concurrent-requests", limit: max, remaining, window_seconds: null, reset_seconds: null };
    }),
  ];
  const body = { object: "list", tier: call.principal.tier, model: modelId, data };
  return Response.json(body, { headers: rateLimitHeaders({ windows, slots }) });
}

/** RateLimit headers for an answer that was given without asking the account; none when it is slow or cannot be reached. */
export async function standingHeaders(call: KnownCall): Promise<Record<string, string>> {
  try {
    return rateLimitHeaders(await within(HEADERS_WITHIN_MS, standing(call, null)));
  } catch {
    return {};
  }
}

async function standing(call: KnownCall, modelId: string | null): Promise<Standings> {
  const { accountId, keyId } = call.principal;
  const allowance = allowanceOf(call.catalog, { tier: tierOf(call), keyId }, modelId);
  return call.env.ACCOUNT.getByName(accountId).standing(allowance);
}
