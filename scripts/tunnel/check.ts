/** Whether a tunnel's file keeps the door shut and lets the gateway in: our own judgement, without cloudflared. Pure. */
import { type Config, matchingRule, type Rule, readConfig } from "./config.ts";
import { KNOWN_PATHS } from "./paths.ts";
import type { PlannedRule, PlannedTunnel } from "./plan.ts";
import { PLACEHOLDER } from "./render.ts";

export type Judgement = {
  /** What must not stay so, a sentence each. */
  readonly problems: readonly string[];
  /** What is still to be done. */
  readonly notes: readonly string[];
};

/** Routes of vLLM, llama.cpp and FastAPI that load, read, stop or tell, and no path at all. */
export const DANGEROUS = [
  "/",
  "/v1/load_lora_adapter",
  "/v1/unload_lora_adapter",
  "/sleep",
  "/wake_up",
  "/collective_rpc",
  "/reset_prefix_cache",
  "/start_profile",
  "/invocations",
  "/pause",
  "/lora-adapters",
  "/models/load",
  "/slots/0",
  "/docs",
  "/openapi.json",
  "/server_info",
] as const;

/**
 * Judges a file.
 *
 * @param tunnel what the catalog asks of it
 */
export function check(yaml: string, tunnel: PlannedTunnel): Judgement {
  const reading = readConfig(yaml);
  if (reading.kind === "unreadable") return { problems: reading.problems, notes: [] };
  const { config } = reading;
  const rules = ruleProblems(config, tunnel);
  // What cannot be compiled can be matched against nothing.
  const isAllGo = config.ingress.every(({ path }) => path === undefined || isGoExpression(path));
  const ways = isAllGo ? wayProblems(config, tunnel) : [];
  const placeholders = new Set(yaml.match(new RegExp(`${PLACEHOLDER}[A-Z-]*`, "g")));
  return {
    problems: [...rules, ...ways],
    notes: [...placeholders].map((placeholder) => `${placeholder} is still to be replaced`),
  };
}

function ruleProblems(config: Config, { rules: planned }: PlannedTunnel): string[] {
  const last = config.ingress.length - 1;
  return config.ingress.flatMap((rule, at) => {
    const problems = accessProblems(config, rule);
    if (at === last) problems.push(...catchAllProblems(rule));
    else problems.push(...hostProblems(rule, planned));
    return problems.map((problem) => `ingress.${at}: ${problem}`);
  });
}

function catchAllProblems({ hostname, path, service }: Rule): string[] {
  if (hostname !== undefined || path !== undefined) return ["the last rule must catch all: without hostname and path"];
  return service === "http_status:404" ? [] : [`what no rule lets through must end in http_status:404, not ${service}`];
}

function hostProblems({ hostname, path }: Rule, planned: readonly PlannedRule[]): string[] {
  const problems: string[] = [];
  if (hostname === undefined) problems.push("a rule needs a hostname, or it takes everybody's requests");
  else if (!planned.some((rule) => rule.hostname === hostname)) {
    problems.push(`no host of the catalog is reached at ${hostname}`);
  }
  if (path === undefined) return [...problems, "a rule needs the path's allow-list"];
  if (!isGoExpression(path)) return [...problems, `${path} is no regular expression of Go's`];
  // Go looks for the expression anywhere in the path.
  if (!/^\^.*\$$/.test(path)) problems.push(`${path} must begin with ^ and end with $`);
  return problems;
}

/** RE2 has neither look-around nor back references. */
function isGoExpression(path: string): boolean {
  if (/\(\?[=!<]|\\[1-9]/.test(path)) return false;
  try {
    new RegExp(path).test("");
    return true;
  } catch {
    return false;
  }
}

/** What a rule says of Access takes the place of what the file says, as a whole. */
function accessProblems({ originRequest }: Config, rule: Rule): string[] {
  const access = rule.originRequest?.access ?? originRequest?.access;
  if (access?.required !== true) return ["Access is not required"];
  if (access.teamName === "") return ["access.teamName is empty: cloudflared cannot tell whose tokens to take"];
  return access.audTag.length === 0 ? ["access.audTag is empty: a token of any application would do"] : [];
}

function wayProblems(config: Config, { rules }: PlannedTunnel): string[] {
  return rules.flatMap(({ host, hostname, service, allowed }) => {
    const isTaken = (path: string) => matchingRule(config, hostname, path)?.service === service;
    const isOpen = (path: string) => matchingRule(config, hostname, path)?.service.startsWith("http_status:") !== true;
    const missing = allowed.filter((path) => !isTaken(path));
    const open = mayNotPass(allowed).filter(isOpen);
    return [
      ...missing.map((path) => `${host}: ${hostname}${path} does not lead to ${service}`),
      ...open.map((path) => `${host}: ${hostname}${path} is let through`),
    ];
  });
}

/** Engines' dangerous routes, what other hosts offer, and what only looks like one of the paths. */
export function mayNotPass(allowed: readonly string[]): readonly string[] {
  const alike = allowed.flatMap((path) => [`${path}/x`, `/x${path}`, `${path}x`, `${path}/../x`]);
  return [...DANGEROUS, ...KNOWN_PATHS, ...alike].filter((path) => !allowed.includes(path));
}
