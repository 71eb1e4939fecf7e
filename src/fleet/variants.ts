/**
 * Which of a model's hosts may answer one caller. A model may have variants: other names on its hosts, each for a share
 * of the callers. A caller belongs to one and stays there, so that an A/B test compares callers and nobody's answers
 * change from one question to the next. Pure: no state is kept of who belongs where.
 *
 * Callers are assigned by weighted rendezvous hashing (`rendezvous.ts`): each variant draws a number for the caller from a
 * hash, scaled by its split, and the lowest has the caller. A split that grows takes callers from the others and moves
 * none between those.
 */
import { type Catalog, type Host, locationOf, type Model, type Served } from "#src/catalog/schema.ts";
import { drawOf } from "./rendezvous.ts";
import type { Candidate } from "./weigh.ts";

export type Candidates = {
  /** Of the caller's own variant; of all there is where the model has no variants. */
  readonly first: Candidate[];
  /** Of the other variants: only where none of the first can answer. */
  readonly fallback: Candidate[];
};

type Variant = { readonly as: string; readonly split: number; readonly candidates: Candidate[] };

/**
 * The hosts that may answer a caller for a model. A host that is switched off for it, or that the catalog does not have,
 * is not among them; whether one can answer at the moment is not looked at.
 *
 * A split counts for its variant as long as any of its hosts is left: one that is switched off leaves its callers where
 * they are. A variant whose splits are 0 is given nobody, also not as a fallback.
 *
 * @param account the caller's account id
 * @param onlyOnPrem leaves out hosts in the cloud
 */
export function candidatesOf(
  catalog: Pick<Catalog, "hosts">,
  model: Pick<Model, "id" | "served">,
  account: string,
  onlyOnPrem: boolean,
): Candidates {
  const candidates = model.served.flatMap((served) => candidateOf(catalog.hosts, served, onlyOnPrem));
  if (model.served.every(({ split }) => split === undefined)) return { first: candidates, fallback: [] };
  const [own, ...others] = variantsOf(model.served, candidates)
    .map((variant) => ({ variant, draw: drawOf(`${account}\n${model.id}`, variant.as, variant.split) }))
    .sort((one, other) => one.draw - other.draw || (one.variant.as < other.variant.as ? -1 : 1));
  return { first: own?.variant.candidates ?? [], fallback: others.flatMap(({ variant }) => variant.candidates) };
}

function candidateOf(hosts: readonly Host[], served: Served, onlyOnPrem: boolean): Candidate[] {
  const host = hosts.find(({ id }) => id === served.host);
  if (host === undefined || !served.enabled) return [];
  return onlyOnPrem && locationOf(host) === "cloud" ? [] : [{ host, served }];
}

/** Those that have callers and a host left. */
function variantsOf(served: readonly Served[], candidates: readonly Candidate[]): Variant[] {
  const names = new Set(candidates.map((candidate) => candidate.served.as));
  return [...names].flatMap((as) => {
    const split = served.reduce((sum, entry) => sum + (entry.as === as ? (entry.split ?? 0) : 0), 0);
    return split > 0 ? [{ as, split, candidates: candidates.filter((one) => one.served.as === as) }] : [];
  });
}
