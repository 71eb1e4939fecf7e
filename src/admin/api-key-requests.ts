/** What may be asked of `/admin/keys`: bodies and queries, checked to the last field. Pure but for reading the body. */
import { z } from "zod";
import { SCOPES } from "#src/auth/principal.ts";
import { readBounded } from "#src/bytes.ts";
import { readJson } from "#src/ingress/body.ts";
import { limitField, membersOf, queryOf, wrongField } from "#src/ingress/fields.ts";
import { API_KEY_STATES, type ApiKeyFilter } from "#src/postgres/api-keys.ts";
import { Problem } from "#src/problem.ts";

const MAX_BODY_BYTES = 16 * 1024;
const DEFAULT_LIFETIME_DAYS = 30;
const MAX_LIFETIME_DAYS = 365;
const DEFAULT_OVERLAP_HOURS = 24;
const MAX_OVERLAP_HOURS = 168;
const DEFAULT_PAGE = 50;
const MAX_PAGE = 200;

/** It names the Account object and stands in the ledger. */
const owner = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._@:+/-]{0,127}$/,
    "1 to 128 letters, digits and . _ @ : + / -, a letter or digit first",
  );
/** Bidirectional controls would let a label show as another one in a list. */
const label = z
  .string()
  .regex(/^[^\p{Cc}\p{Bidi_Control}]{1,128}$/u, "1 to 128 characters, no control or direction characters");
const keyId = z.string().regex(/^key_[A-Za-z0-9_-]{1,64}$/, "the id of a key: key_…");

const grant = z.strictObject({
  owner,
  tier: z.string().default("default"),
  scopes: z
    .array(z.enum(SCOPES))
    .min(1, "at least one scope")
    .transform((named) => SCOPES.filter((scope) => named.includes(scope))),
  label,
  expiresInDays: z.number().int().min(1).max(MAX_LIFETIME_DAYS).default(DEFAULT_LIFETIME_DAYS),
});
export type Grant = z.infer<typeof grant>;

const rotation = z.strictObject({
  overlapHours: z.number().min(0).max(MAX_OVERLAP_HOURS).default(DEFAULT_OVERLAP_HOURS),
});

const filter = z.strictObject({
  owner: owner.optional(),
  state: z.enum(API_KEY_STATES).optional(),
  /** What `next` said of the page before: the id of its last key. */
  cursor: keyId.optional(),
  limit: limitField(DEFAULT_PAGE, MAX_PAGE),
});

/**
 * The body of `POST /admin/keys`.
 *
 * @param tiers those of the catalog
 * @throws Problem `invalid_value` naming the field, or what reading the body throws
 */
export async function grantOf(request: Request, tiers: Readonly<Record<string, unknown>>): Promise<Grant> {
  const { document } = await readJson(request, MAX_BODY_BYTES);
  const asked = membersOf(grant, document);
  if (!Object.hasOwn(tiers, asked.tier))
    throw wrongField("tier", `the catalog has no such tier; it has ${Object.keys(tiers).join(", ")}`);
  return asked;
}

/**
 * The body of `POST /admin/keys/{id}/rotate`, which may be left out.
 *
 * @throws Problem `invalid_value` naming the field, or what reading the body throws
 */
export async function overlapMsOf(request: Request): Promise<number> {
  const bytes = await readBounded(request, MAX_BODY_BYTES, "left");
  if (bytes === null) throw new Problem("request_too_large");
  const { url, method, headers } = request;
  // Behind some front ends a request without a body has an empty one.
  const document =
    bytes.byteLength === 0 ? {} : (await readJson(new Request(url, { method, headers, body: bytes }))).document;
  return membersOf(rotation, document).overlapHours * 3_600_000;
}

/**
 * The query of `GET /admin/keys`.
 *
 * @throws Problem `invalid_value` naming the parameter
 */
export function filterOf(url: string): ApiKeyFilter {
  const { owner = null, state = null, cursor = null, limit } = queryOf(filter, url);
  return { owner, state, after: cursor, limit };
}

/**
 * The id of a key in a path.
 *
 * @throws Problem `key_not_found` for what can be no key's id
 */
export function keyIdOf(parameter: string): string {
  const parsed = keyId.safeParse(parameter);
  if (!parsed.success) throw new Problem("key_not_found");
  return parsed.data;
}
