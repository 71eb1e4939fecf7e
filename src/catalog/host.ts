/** One inference host: what runs there, how much it takes, how it is reached. Grammar only, like `schema.ts`. */
import { z } from "zod";
import { name } from "./names.ts";
import { hostCost } from "./price.ts";
import { type Location, location } from "./residency.ts";

/** What no host may be given as its key. */
const OWN_SECRETS = ["CAUSEWAY_SECRET", "ACCESS_CLIENT_SECRET"];

const httpUrl = z
  .url({ protocol: /^https?$/, error: "an http or https URL" })
  .refine((text) => !/[?#]/.test(text), "a URL without a query or fragment")
  .transform((text) => text.replace(/\/+$/, ""));

/** Where cloudflared finds an engine: it passes paths on as they come, so none may stand here. */
const serviceUrl = httpUrl.refine((text) => /^https?:\/\/[^/]+$/.test(text), "a URL without a path");

/**
 * How a host is reached. `access` sends a Cloudflare Access service token; `vpc` goes through a Workers VPC binding. The
 * URL is what stands before the engine's own paths: `https://api.openai.com`, without `/v1`.
 */
const reach = z.discriminatedUnion("via", [
  z.strictObject({ via: z.literal("direct"), url: httpUrl }),
  z.strictObject({
    via: z.literal("access"),
    url: httpUrl,
    /** Of the tunnel, for `npm run tunnel`: where the engine listens on its machine. Absent: the engine's usual port. */
    service: serviceUrl.optional(),
    /** The tunnel's name: hosts of one machine share it. Absent: the host's id. */
    tunnel: name.optional(),
  }),
  z.strictObject({ via: z.literal("vpc"), binding: z.string().min(1), url: httpUrl }),
]);

/**
 * What not every engine has: `responses` and `messages` are OpenAI's and Anthropic's newer protocols, which are
 * translated for hosts that have only chat; the others are asked only of hosts that offer them. A host that is asked in
 * `responses` tells usage only at the end, and no other can carry its streams on; of llama.cpp it is better not named:
 * its events have no `output_index` (`server-task.cpp`, 2026), without which OpenAI's client cannot put them together.
 */
export const OFFERS = ["responses", "messages", "rerank", "transcriptions", "tokenize"] as const;
export type Offer = (typeof OFFERS)[number];

/** What engines take when nobody tells them: vLLM's `max_num_seqs`, one slot of llama.cpp; a cloud is as good as endless. */
const USUAL_SLOTS = { vllm: 256, llamacpp: 1, openai: 256 };

const grammar = z.strictObject({
  id: name,
  /** `openai` is any service that speaks OpenAI's protocol and tells nothing of its load: a cloud, as a rule. */
  engine: z.enum(["vllm", "llamacpp", "openai"]),
  /** Absent: an `openai` host is in the cloud, every other on the operator's own premises. */
  location: location.optional(),
  /** Where it stands, from near to far, in the platform's words: data centre, country, continent (`["FRA", "DE", "EU"]`). */
  region: z.array(z.string().min(1)).default([]),
  /** Only llama.cpp: the host answers `/completion` and has no `/v1` routes; requests and streams are translated. */
  native: z.boolean().default(false),
  /**
   * Only vLLM: whether its prefix cache is parted by tenant (`cache_salt`), so that nobody can time what others asked.
   * Builds with engine V0 refuse the field, and those before 0.6.5 every field that they do not know: false for those.
   */
  cacheSalt: z.boolean().default(true),
  /** Routes of the engine beyond chat, completions and embeddings. */
  offers: z.array(z.enum(OFFERS)).default([]),
  /** Requests the engine works on at once: `max_num_seqs` (vLLM), `--parallel` (llama.cpp). Absent: `USUAL_SLOTS`. */
  slots: z.number().int().positive().optional(),
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

export const host = grammar.transform((written) => ({
  ...written,
  slots: written.slots ?? USUAL_SLOTS[written.engine],
}));

export type Host = z.infer<typeof host>;

/** Where a host stands: what must stay on the premises never goes to a host in the cloud. */
export function locationOf({ location, engine }: Pick<Host, "location" | "engine">): Location {
  return location ?? (engine === "openai" ? "cloud" : "on-prem");
}
