/**
 * Which of a model's hosts may answer one caller. A model may have variants: other names on its hosts, each for a share
 * of the callers. A caller belongs to one and stays there, so that an A/B test compares callers and nobody's answers
 * change from one question to the next. Pure: no state is kept of who belongs where.
 *
 * Callers are assigned by weighted rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase
 * hit rates", 1998; weights by the logarithm, Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005):
 * each variant draws a number for the caller from a hash, scaled by its split, and the lowest has the caller. A split
 * that grows takes callers from the others and moves none between those.
 */
import { type Catalog, type Host, locationOf, type Model, type Served } from "#src/catalog/schema.ts";
import type { Candidate } from "./plan.ts";

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
    .map((variant) => ({ variant, draw: drawOf(account, model.id, variant) }))
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

/** The lowest has the caller: exponential draws, each at the rate of its split. */
function drawOf(account: string, model: string, { as, split }: Variant): number {
  const uniform = (hash(`${account}\n${model}\n${as}`) + 0.5) / 2 ** 32;
  return -Math.log(uniform) / split;
}

/** 32 bits: FNV-1a over UTF-16 units, then MurmurHash3's finalizer, without which names that are alike draw alike. */
function hash(text: string): number {
  let bits = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) bits = Math.imul(bits ^ text.charCodeAt(at), 0x01000193);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
