/**
 * The models a caller may name, in OpenAI's shape. Hosts and their names stay inside. One that is switched off is not
 * listed, so that nobody picks it; who names it all the same hears that it is there and off, not that it is unknown.
 */
import { type Need, permits } from "#src/auth/policy.ts";
import { isEnabled, type Model } from "#src/catalog/schema.ts";
import { Problem, type ProblemFacts } from "#src/problem.ts";
import { resolved, targetsOf } from "./alias.ts";
import type { KnownCall } from "./call.ts";

/** `GET /v1/models`: those that are on and open to the caller, and the names that may stand for one of them. */
export function listModels(call: KnownCall): Response {
  const { catalog } = call;
  const open = catalog.models.filter((model) => isListed(call, model));
  const aliases = Object.keys(catalog.aliases).filter((name) => isOpenAlias(call, name));
  return Response.json({ object: "list", data: [...open, ...aliases.map((id) => ({ id }))].map(describe) });
}

/**
 * `GET /v1/models/{id}`.
 *
 * @throws Problem `model_not_found` or `model_disabled`
 */
export function getModel(call: KnownCall, id: string): Response {
  return Response.json(describe(isOpenAlias(call, id) ? { id } : switchedOn(modelOf(call, id))));
}

/** An alias is shown to whoever may use one of its models: which one it is to be, a request decides. */
function isOpenAlias(call: KnownCall, name: string): boolean {
  const targets = targetsOf(call.catalog.aliases, name);
  return call.catalog.models.some((model) => targets.includes(model.id) && isListed(call, model));
}

function isListed({ principal }: KnownCall, model: Model): boolean {
  return isEnabled(model) && permits(principal, { scope: "models", model });
}

/**
 * The model of a name that the caller gave.
 *
 * @param stoodFor the id of the model where the name is an alias and a request has decided it
 * @throws Problem `model_not_found`, also for one that is not open to the caller
 */
export function modelOf(
  { catalog, principal }: KnownCall,
  name: string,
  scope: Need = "models",
  stoodFor = resolved(catalog.aliases, name, null),
): Model {
  const model = catalog.models.find(({ id }) => id === stoodFor);
  // A model that is not open to the caller looks like one that is not there.
  if (model === undefined || !permits(principal, { scope, model })) {
    const message = `The model ${JSON.stringify(name.slice(0, 128))} does not exist. GET /v1/models lists those that do.`;
    throw new Problem("model_not_found", { param: "model", message, ...withheld(model) });
  }
  return model;
}

/**
 * The same model, when it is to answer at all.
 *
 * @throws Problem `model_disabled`, which no client mends by coming back
 */
export function switchedOn(model: Model): Model {
  if (!isEnabled(model))
    throw new Problem("model_disabled", { param: "model", headers: { "x-should-retry": "false" } });
  return model;
}

/** Tells the audit trail apart a model that is not open from one that is not there. */
export function withheld(model: Pick<Model, "id"> | undefined): Pick<ProblemFacts, "withheld"> {
  return model === undefined ? {} : { withheld: `/v1/models/${model.id}` };
}

/** OpenAI's four members; `created` is a date that means nothing here and must be a number. */
function describe({ id, context }: { readonly id: string; readonly context?: number | undefined }) {
  const known = { id, object: "model", created: 0, owned_by: "causeway" };
  return context === undefined ? known : { ...known, max_model_len: context };
}
