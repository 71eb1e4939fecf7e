/**
 * The operator's one document: hosts, models, tiers, prices. This file and those beside it are its grammar and nothing
 * else: no I/O, no clock, and they import no stage. Everyone reads the `Catalog` it yields; nobody changes it.
 *
 * Unknown fields are refused, not ignored: a typo in a limit must not silently lift the limit.
 */
import { z } from "zod";
import { alias } from "./alias.ts";
import { flawsOf } from "./cross-checks.ts";
import { host } from "./host.ts";
import { issuer } from "./issuer.ts";
import { model } from "./model.ts";
import { modelName, name, role } from "./names.ts";
import { origin } from "./page.ts";
import { residency } from "./residency.ts";
import { caps, DEFAULT_TIERS, tenantCaps, tier } from "./tier.ts";

export { type Host, locationOf } from "./host.ts";
export { isEnabled, type Model, STRATEGIES } from "./model.ts";
export { ROLES, type Role } from "./names.ts";
export type { Served, Shadow } from "./served.ts";

const catalog = z
  .strictObject({
    hosts: z.array(host).min(1, "at least one host"),
    models: z.array(model).min(1, "at least one model"),
    tiers: z
      .record(name, tier)
      .refine((tiers) => "default" in tiers, "must hold a tier named default, for principals that name none")
      .default(DEFAULT_TIERS),
    /** Names that stand for a model chosen by the request itself. */
    aliases: z.record(modelName, alias).default({}),
    /** Further caps by the id of an API key, and whether what is asked with it must stay on the premises. */
    keys: z
      .record(
        z.string().regex(/^key_[\w-]+$/, "the id of an API key"),
        caps.extend({ residency: residency.optional() }),
      )
      .default({}),
    /** Caps that a tenant's users share, by the tenant's name in their tokens (`claims.tenant` of the issuer). */
    tenants: z.record(z.string().min(1), tenantCaps).default({}),
    issuers: z.array(issuer).default([]),
    /** Web pages that may ask from within a browser, where a route is for them. */
    origins: z.array(origin).default([]),
    /** Role -> the groups that have it. Absent: a group of the role's own name. */
    roles: z.partialRecord(role, z.array(z.string().min(1))).default({}),
  })
  .superRefine((document, context) => {
    for (const { path, message } of flawsOf(document)) context.addIssue({ code: "custom", path, message });
  });

export type Catalog = z.infer<typeof catalog>;
export type CatalogProblem = { readonly path: string; readonly reason: string };
export type ParsedCatalog =
  | { readonly kind: "valid"; readonly catalog: Catalog }
  | { readonly kind: "invalid"; readonly problems: readonly CatalogProblem[] };

/**
 * Checks a catalog as read from JSON.
 *
 * @param json the parsed document
 * @returns the catalog with defaults filled in, or every problem with its path (`hosts.0.reach.url`); never throws
 */
export function parseCatalog(json: unknown): ParsedCatalog {
  const result = catalog.safeParse(json);
  if (result.success) return { kind: "valid", catalog: result.data };
  return {
    kind: "invalid",
    problems: result.error.issues.map((issue) => ({
      path: issue.path.join(".") || "(the document)",
      reason: issue.message,
    })),
  };
}
