/**
 * A cloudflared configuration as far as a tunnel of ours has one. cloudflared passes over keys that it does not know: a
 * slip in `access` would leave the door open without a word. So here an unknown key is a fault.
 */
import { parse } from "yaml";
import { z } from "zod";

const text = z.string().min(1);
const access = z.strictObject({ required: z.boolean(), teamName: z.string(), audTag: z.array(text) });
const originRequest = z.strictObject({
  connectTimeout: text.optional(),
  tlsTimeout: text.optional(),
  tcpKeepAlive: text.optional(),
  keepAliveConnections: z.number().optional(),
  keepAliveTimeout: text.optional(),
  noHappyEyeballs: z.boolean().optional(),
  httpHostHeader: text.optional(),
  originServerName: text.optional(),
  caPool: text.optional(),
  access: access.optional(),
});
const rule = z.strictObject({
  hostname: text.optional(),
  path: text.optional(),
  service: text,
  originRequest: originRequest.optional(),
});
const config = z.strictObject({
  tunnel: text,
  "credentials-file": text,
  protocol: z.literal("quic"),
  "no-autoupdate": z.boolean().optional(),
  "grace-period": text.optional(),
  metrics: text.optional(),
  loglevel: text.optional(),
  logfile: text.optional(),
  originRequest: originRequest.optional(),
  ingress: z.array(rule).min(1),
});

export type Config = z.infer<typeof config>;
export type Rule = z.infer<typeof rule>;

export type Reading =
  | { readonly kind: "read"; readonly config: Config }
  /** A sentence per fault, with the path of the field. */
  | { readonly kind: "unreadable"; readonly problems: readonly string[] };

/** Reads the text of a file. */
export function readConfig(yaml: string): Reading {
  let document: unknown;
  try {
    document = parse(yaml);
  } catch (cause) {
    return { kind: "unreadable", problems: [`no YAML: ${cause instanceof Error ? cause.message : String(cause)}`] };
  }
  const result = config.safeParse(document);
  if (result.success) return { kind: "read", config: result.data };
  const problems = result.error.issues.map(({ path, message }) => `${path.join(".") || "the file"}: ${message}`);
  return { kind: "unreadable", problems };
}

/** The rule that cloudflared takes: the first whose hostname and path fit, by name as Go compares them. */
export function matchingRule({ ingress }: Config, hostname: string, path: string): Rule | undefined {
  return ingress.find(
    (rule) =>
      (rule.hostname === undefined || rule.hostname === hostname) &&
      (rule.path === undefined || new RegExp(rule.path).test(path)),
  );
}
