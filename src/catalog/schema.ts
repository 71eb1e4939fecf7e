/**
 * The operator's one document: hosts, models, tiers, prices. This file is its grammar and nothing else: no I/O, no
 * clock, and it imports no stage. Everyone reads the `Catalog` it yields; nobody changes it.
 *
 * Unknown fields are refused, not ignored: a typo in a limit must not silently lift the limit.
 */
import { z } from "zod";
import { alias } from "./alias.ts";
import { issuer } from "./issuer.ts";
import { hostCost, price } from "./price.ts";
import { caps, DEFAULT_TIERS, tenantCaps, tier } from "./tier.ts";

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, "letters, digits, dot, dash or underscore");
/** Callers know models by names such as `meta-llama/Llama-3.1-8B` or `llama3:8b`. */
const modelName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, "letters, digits, dot, dash, underscore, colon or slash");
const positiveInt = z.number().int().positive();
/** Roles of this gateway; the catalog says which groups of an identity provider stand for them. */
export const ROLES = ["ai-users", "ai-admins", "ai-monitoring"] as const;
const role = z.enum(ROLES);

/** What no host may be given as its key. */
const OWN_SECRETS = ["CAUSEWAY_SECRET", "ACCESS_CLIENT_SECRET"];

const httpUrl = z
  .url({ protocol: /^https?$/, error: "an http or https URL" })
  .refine((text) => !/[?#]/.test(text), "a URL without a query or fragment")
  .transform((text) => text.replace(/\/+$/, ""));

/** How a host is reached. `access` sends a Cloudflare Access service token; `vpc` goes through a Workers VPC binding. */
const reach = z.discriminatedUnion("via", [
  z.strictObject({ via: z.literal("direct"), url: httpUrl }),
  z.strictObject({ via: z.literal("access"), url: httpUrl }),
  z.strictObject({ via: z.literal("vpc"), binding: z.string().min(1), url: httpUrl }),
]);

const host = z.strictObject({
  id: name,
  /** `openai` is any service that speaks OpenAI's protocol and tells nothing of its load: a cloud, as a rule. */
  engine: z.enum(["vllm", "llamacpp", "openai"]),
  /** Absent: an `openai` host is in the cloud, every other on the operator's own premises. */
  location: z.enum(["on-prem", "cloud"]).optional(),
  /** Where it stands, from near to far, in the platform's words: data centre, country, continent (`["FRA", "DE", "EU"]`). */
  region: z.array(z.string().min(1)).default([]),
  /** Only llama.cpp: the host answers `/completion` and has no `/v1` routes; requests and streams are translated. */
  native: z.boolean().default(false),
  /** Requests the engine works on at once: `max_num_seqs` (vLLM), `--parallel` (llama.cpp). */
  slots: positiveInt.default(1),
  /** Requests in flight at once are `slots` times this, rounded down: an engine that batches may take more than it has slots. */
  overcommit: z.number().min(1).default(1),
  weight: z.number().positive().default(1),
  /** Used only while no other host of the model can serve. */
  backup: z.boolean().default(false),
  reach,
  /** Name of the secret that holds the engine's own API key. */
  keyFrom: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]*$/, "the name of a secret, in capitals")
    .refine((name) => !OWN_SECRETS.includes(name), "not one of the gateway's own secrets: it would be sent to the host")
    .optional(),
  /** Absent means unknown: what an answer cost by host time is then null. */
  cost: hostCost.optional(),
  /** One token is generated this often, in seconds: an engine that hangs may still call itself healthy. Absent: never. */
  canary: z.strictObject({ everyS: z.number().int().min(10) }).optional(),
});

const served = z.strictObject({
  host: name,
  /** The model's name on that host. */
  as: z.string().min(1),
  /** Chat template for a `native` host, which has no chat route of its own. */
  template: z.enum(["chatml", "llama3"]).default("chatml"),
  /**
   * Share of the callers who are given this name (`as`), each always the same one: variants of a model. Entries of one
   * name add up. Either every entry has it or none has.
   */
  split: z.number().nonnegative().optional(),
  /** Nothing new is asked of it when false: the kill switch of a variant. */
  enabled: z.boolean().default(true),
});

/** A copy of some requests, whose answer nobody sees and nobody pays for. */
const shadow = z.strictObject({
  host: name,
  as: z.string().min(1),
  template: z.enum(["chatml", "llama3"]).default("chatml"),
  /** Part of the requests that are copied, 0 to 1. */
  sample: z.number().min(0).max(1).default(1),
});

/** How a model's requests are spread over its hosts; see `fleet/weigh.ts`. */
export const STRATEGIES = ["weighted", "least-busy", "fastest", "cheapest", "nearest"] as const;
const residency = z.literal("on-prem");

/** All in ms. Defaults: the design's own example; a first token within 10 s or another host is tried. */
const deadlines = z.strictObject({
  firstToken: positiveInt.default(10_000),
  betweenTokens: positiveInt.default(30_000),
  total: positiveInt.default(600_000),
});

const model = z.strictObject({
  id: modelName,
  kind: z.enum(["generation", "embedding"]).default("generation"),
  /** Context window in tokens. */
  context: positiveInt.optional(),
  served: z.array(served).min(1, "at least one host"),
  shadow: z.array(shadow).default([]),
  strategy: z.enum(STRATEGIES).default("weighted"),
  /** Requests of one session, or with the same long beginning, go to the host that has it warm, as far as load allows. */
  affinity: z.boolean().default(true),
  /** The waiting line while every host is full. */
  queue: z
    .strictObject({
      /** Nobody joins who would wait longer, in ms. Absent: as long as the first token may take. */
      maxWait: z.number().int().nonnegative().optional(),
      maxWaiting: positiveInt.default(1_000),
    })
    .prefault({}),
  /** `on-prem`: never answered by a host in the cloud. */
  residency: residency.optional(),
  /** Answers nobody when false: the kill switch. */
  enabled: z.boolean().default(true),
  /** In US dollars. Absent means unknown: the ledger then says null, never 0. */
  price: price.optional(),
  /** Keeps prompts and answers in the ledger. Absent: neither is stored anywhere. */
  storeContent: z.boolean().default(false),
  /** Absent: answers are never cached. `ttl` in seconds (KV allows no less than 60). */
  cache: z
    .strictObject({
      ttl: z.number().int().min(60, "KV keeps entries for 60 s at least"),
      scope: z.enum(["user", "shared"]),
    })
    .optional(),
  deadlines: deadlines.prefault({}),
  /** Who may use it: any of these roles and, where tiers are named, one of those. Absent: everyone. */
  allow: z.strictObject({ roles: z.array(role).min(1).optional(), tiers: z.array(name).min(1).optional() }).optional(),
});

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
    /** Role -> the groups that have it. Absent: a group of the role's own name. */
    roles: z.partialRecord(role, z.array(z.string().min(1))).default({}),
  })
  .superRefine((value, context) => {
    const flag = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: "custom", path, message });
    const hostIds = new Set<string>();
    value.hosts.forEach(({ id, engine, native }, at) => {
      if (hostIds.has(id)) flag(["hosts", at, "id"], `the host ${id} is listed twice`);
      if (native && engine !== "llamacpp") flag(["hosts", at, "native"], "only a llamacpp host can be native");
      hostIds.add(id);
    });
    const issuers = new Set<string>();
    value.issuers.forEach(({ issuer }, at) => {
      if (issuers.has(issuer)) flag(["issuers", at, "issuer"], `the issuer ${issuer} is listed twice`);
      issuers.add(issuer);
    });
    for (const [name, { models }] of Object.entries(value.tiers))
      for (const id of Object.keys(models))
        if (!value.models.some((model) => model.id === id))
          flag(["tiers", name, "models", id], `no model has the id ${id}`);
    for (const [name, { rules, otherwise }] of Object.entries(value.aliases)) {
      if (value.models.some(({ id }) => id === name))
        flag(["aliases", name], `the model ${name} has this name already`);
      const targets = [
        ...rules.map(({ use }, at) => [["rules", at, "use"], use] as const),
        [["otherwise"], otherwise] as const,
      ];
      for (const [path, id] of targets)
        if (!value.models.some((model) => model.id === id))
          flag(["aliases", name, ...path], `no model has the id ${id}`);
    }
    const native = new Set(value.hosts.filter((host) => host.native).map((host) => host.id));
    const modelIds = new Set<string>();
    const cloud = new Set(value.hosts.filter((host) => locationOf(host) === "cloud").map((host) => host.id));
    value.models.forEach(({ id, kind, served, shadow, residency, allow }, at) => {
      allow?.tiers?.forEach((tier, index) => {
        if (!Object.hasOwn(value.tiers, tier))
          flag(["models", at, "allow", "tiers", index], `no tier is named ${tier}`);
      });
      if (modelIds.has(id)) flag(["models", at, "id"], `the model ${id} is listed twice`);
      modelIds.add(id);
      const hosts = new Set<string>();
      served.forEach(({ host }, index) => {
        const path = ["models", at, "served", index, "host"];
        if (!hostIds.has(host)) flag(path, `no host has the id ${host}`);
        if (hosts.has(host)) flag(path, `the host ${host} is listed twice for ${id}`);
        if (kind === "embedding" && native.has(host)) flag(path, `the native host ${host} has no embeddings route`);
        hosts.add(host);
      });
      shadow.forEach(({ host }, index) => {
        if (!hostIds.has(host)) flag(["models", at, "shadow", index, "host"], `no host has the id ${host}`);
      });
      const splits = served.filter(({ split }) => split !== undefined);
      if (splits.length > 0 && splits.length < served.length)
        flag(["models", at, "served"], "either every host has a split or none has");
      if (splits.length > 0 && splits.every(({ split }) => split === 0))
        flag(["models", at, "served"], "one split at least must be more than 0");
      if (residency !== undefined && served.every(({ host }) => cloud.has(host)))
        flag(["models", at, "residency"], "no host of this model is on the premises");
    });
  });

/** Where a host stands: what must stay on the premises never goes to a host in the cloud. */
export function locationOf({
  location,
  engine,
}: Pick<z.infer<typeof host>, "location" | "engine">): "on-prem" | "cloud" {
  return location ?? (engine === "openai" ? "cloud" : "on-prem");
}

export type Catalog = z.infer<typeof catalog>;
export type Host = Catalog["hosts"][number];
export type Model = Catalog["models"][number];
export type Served = Model["served"][number];
export type Role = z.infer<typeof role>;
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
