/** How things may be called in the catalog, and the roles it speaks of. Grammar only, like `schema.ts`. */
import { z } from "zod";

export const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, "letters, digits, dot, dash or underscore");

/** Callers know models by names such as `meta-llama/Llama-3.1-8B` or `llama3:8b`. */
export const modelName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, "letters, digits, dot, dash, underscore, colon or slash");

/** Roles of this gateway; the catalog says which groups of an identity provider stand for them. */
export const ROLES = ["ai-users", "ai-admins", "ai-monitoring"] as const;
export const role = z.enum(ROLES);

export type Role = z.infer<typeof role>;
