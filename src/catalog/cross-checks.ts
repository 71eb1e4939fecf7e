/**
 * What no field can tell alone: names that stand twice or point to nothing, and entries that contradict each other.
 * Pure.
 */
import type { Alias } from "./alias.ts";
import { type Host, locationOf } from "./host.ts";
import type { TrustedIssuer } from "./issuer.ts";
import type { Model } from "./model.ts";
import type { Tier } from "./tier.ts";

type Document = {
  readonly hosts: readonly Host[];
  readonly models: readonly Model[];
  readonly tiers: Readonly<Record<string, Tier>>;
  readonly aliases: Readonly<Record<string, Alias>>;
  readonly issuers: readonly TrustedIssuer[];
};
type Path = (string | number)[];
export type Flaw = { readonly path: Path; readonly message: string };

/** Everything in a document that does not fit together; empty when all does. */
export function flawsOf(document: Document): Flaw[] {
  const { hosts, models, issuers } = document;
  const hostOf = new Map(hosts.map((host) => [host.id, host]));
  return [
    ...twice(hosts, ({ id }) => id).map(([at, id]) => flaw(["hosts", at, "id"], `the host ${id} is listed twice`)),
    ...hosts.flatMap(({ native, engine }, at) =>
      native && engine !== "llamacpp" ? [flaw(["hosts", at, "native"], "only a llamacpp host can be native")] : [],
    ),
    ...hosts.flatMap((host, at) => ofOffers(host).map((message) => flaw(["hosts", at, "offers"], message))),
    ...twice(issuers, ({ issuer }) => issuer).map(([at, issuer]) =>
      flaw(["issuers", at, "issuer"], `the issuer ${issuer} is listed twice`),
    ),
    ...twice(models, ({ id }) => id).map(([at, id]) => flaw(["models", at, "id"], `the model ${id} is listed twice`)),
    ...ofTiers(document),
    ...ofAliases(document),
    ...models.flatMap((model, at) =>
      [
        ...ofTiersAllowed(model, document),
        ...ofPlaces(model, hostOf),
        ...ofSplits(model),
        ...ofShadows(model, hostOf),
      ].map(({ path, message }) => flaw(["models", at, ...path], message)),
    ),
  ];
}

function ofTiers({ tiers, models }: Document): Flaw[] {
  return Object.entries(tiers).flatMap(([name, tier]) =>
    Object.keys(tier.models)
      .filter((id) => !models.some((model) => model.id === id))
      .map((id) => flaw(["tiers", name, "models", id], noModel(id))),
  );
}

function ofAliases({ aliases, models }: Document): Flaw[] {
  return Object.entries(aliases).flatMap(([name, { rules, otherwise }]) => {
    const targets: { path: Path; id: string }[] = [
      ...rules.map(({ use }, at) => ({ path: ["rules", at, "use"], id: use })),
      { path: ["otherwise"], id: otherwise },
    ];
    const taken = models.some(({ id }) => id === name);
    return [
      ...(taken ? [flaw(["aliases", name], `the model ${name} has this name already`)] : []),
      ...targets
        .filter(({ id }) => !models.some((model) => model.id === id))
        .map(({ path, id }) => flaw(["aliases", name, ...path], noModel(id))),
    ];
  });
}

function ofTiersAllowed({ allow }: Model, { tiers }: Document): Flaw[] {
  return (allow?.tiers ?? []).flatMap((tier, at) =>
    Object.hasOwn(tiers, tier) ? [] : [flaw(["allow", "tiers", at], `no tier is named ${tier}`)],
  );
}

function ofPlaces({ id, kind, served, residency }: Model, hostOf: ReadonlyMap<string, Host>): Flaw[] {
  const hasVariants = served.some(({ split }) => split !== undefined);
  // Two variants may run on one host, where it serves both names.
  const repeated = twice(served, ({ host, as }) => (hasVariants ? `${host}\n${as}` : host));
  const isAway = served.every(({ host }) => isInCloud(hostOf.get(host)));
  return [
    ...served.flatMap(({ host }, at) => ofHost(["served", at, "host"], host, kind, hostOf)),
    ...repeated.map(([at]) => flaw(["served", at, "host"], `the host ${served[at]?.host} is listed twice for ${id}`)),
    ...(residency !== undefined && isAway ? [flaw(["residency"], "no host of this model is on the premises")] : []),
  ];
}

function ofSplits({ served }: Model): Flaw[] {
  const splits = served.flatMap(({ split }) => split ?? []);
  if (splits.length === 0) return [];
  if (splits.length < served.length) return [flaw(["served"], "either every host has a split or none has")];
  return splits.every((split) => split === 0) ? [flaw(["served"], "one split at least must be more than 0")] : [];
}

function ofShadows({ id, kind, shadow, residency }: Model, hostOf: ReadonlyMap<string, Host>): Flaw[] {
  return shadow.flatMap(({ host }, at) => {
    const path = ["shadow", at, "host"];
    const leaves = residency !== undefined && isInCloud(hostOf.get(host));
    return [
      ...ofHost(path, host, kind, hostOf),
      ...(leaves ? [flaw(path, `the host ${host} is in the cloud, and ${id} stays on the premises`)] : []),
    ];
  });
}

function ofHost(path: Path, id: string, kind: Model["kind"], hostOf: ReadonlyMap<string, Host>): Flaw[] {
  const host = hostOf.get(id);
  if (host === undefined) return [flaw(path, `no host has the id ${id}`)];
  if (kind === "embedding" && host.native) return [flaw(path, `the native host ${id} has no embeddings route`)];
  const offer = NEEDS[kind];
  if (offer === null || host.offers.includes(offer)) return [];
  return [flaw(path, `the host ${id} does not offer ${offer}`)];
}

/** What a host must offer to serve a model of this kind at all. */
const NEEDS = { generation: null, embedding: null, rerank: "rerank", transcription: "transcriptions" } as const;

/** Offers that an engine does not have. */
function ofOffers({ offers, engine, native }: Host): string[] {
  return [
    ...(offers.includes("tokenize") && engine === "openai" ? ["a service of this kind has no tokenize"] : []),
    ...(offers.includes("transcriptions") && native ? ["a native host has no transcriptions"] : []),
  ];
}

function isInCloud(host: Host | undefined): boolean {
  return host !== undefined && locationOf(host) === "cloud";
}

/** Where a key occurs again, and the key. */
function twice<T>(entries: readonly T[], keyOf: (entry: T) => string): [number, string][] {
  const seen = new Set<string>();
  return entries.flatMap((entry, at): [number, string][] => {
    const key = keyOf(entry);
    if (seen.has(key)) return [[at, key]];
    seen.add(key);
    return [];
  });
}

const noModel = (id: string): string => `no model has the id ${id}`;

function flaw(path: Path, message: string): Flaw {
  return { path, message };
}
