/** The models a caller may name, in OpenAI's shape. Hosts and their names stay inside. */
import type { Catalog, Model } from "#src/catalog/schema.ts";
import { Problem } from "#src/problem.ts";

/** `GET /v1/models`. */
export function listModels(catalog: Catalog): Response {
  return Response.json({ object: "list", data: catalog.models.map(describe) });
}

/**
 * `GET /v1/models/{id}`.
 *
 * @throws Problem `model_not_found`
 */
export function getModel(catalog: Catalog, id: string): Response {
  const model = catalog.models.find((candidate) => candidate.id === id);
  if (model === undefined) throw new Problem("model_not_found", { param: "model" });
  return Response.json(describe(model));
}

/** OpenAI's four members; `created` is a date that means nothing here and must be a number. */
function describe({ id, context }: Model) {
  const known = { id, object: "model", created: 0, owned_by: "causeway" };
  return context === undefined ? known : { ...known, max_model_len: context };
}
