/** The models a caller may name, in OpenAI's shape. Hosts and their names stay inside. */
import { permits } from "#src/auth/policy.ts";
import type { Model } from "#src/catalog/schema.ts";
import { Problem, type ProblemFacts } from "#src/problem.ts";
import type { KnownCall } from "./call.ts";

/** `GET /v1/models`: those that are open to the caller. */
export function listModels({ catalog, principal }: KnownCall): Response {
  const open = catalog.models.filter((model) => permits(principal, { scope: "models", model }));
  return Response.json({ object: "list", data: open.map(describe) });
}

/**
 * `GET /v1/models/{id}`.
 *
 * @throws Problem `model_not_found`
 */
export function getModel({ catalog, principal }: KnownCall, id: string): Response {
  const model = catalog.models.find((candidate) => candidate.id === id);
  // One that is not open to the caller looks like one that is not there.
  if (model === undefined || !permits(principal, { scope: "models", model }))
    throw new Problem("model_not_found", { param: "model", ...withheld(model) });
  return Response.json(describe(model));
}

/** Tells the audit trail apart a model that is not open from one that is not there. */
export function withheld(model: Pick<Model, "id"> | undefined): Pick<ProblemFacts, "withheld"> {
  return model === undefined ? {} : { withheld: `/v1/models/${model.id}` };
}

/** OpenAI's four members; `created` is a date that means nothing here and must be a number. */
function describe({ id, context }: Model) {
  const known = { id, object: "model", created: 0, owned_by: "causeway" };
  return context === undefined ? known : { ...known, max_model_len: context };
}
