// What a door is told when it starts: one plain object, checked here. No I/O.

/**
 * What Access says to a caller without a good service token: the login page (an application with an Allow policy), 403
 * (one with only a Service Auth policy), or 401 (one with `service_auth_401_redirect`).
 */
export type Refusal = "login" | "forbidden" | "unauthorized";

export interface DoorOptions {
  readonly id: string;
  /** 0 asks the system for a free port. */
  readonly port: number;
  /** Where the engine listens: `http://127.0.0.1:9101`. */
  readonly origin: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly refusal: Refusal;
  /** The tunnel's `path`: what it lets through to the engine, as a regular expression. */
  readonly path: string;
  /** The tag of the Access application: the audience of what the edge signs. */
  readonly audience: string;
  /** The tags that cloudflared takes, `access.audTag`. */
  readonly audTag: readonly string[];
}

const REFUSALS: readonly Refusal[] = ["login", "forbidden", "unauthorized"];

/**
 * Checks one entry of the JSON given to main.ts.
 * @throws Error naming the field and what it should be
 */
export function parseDoorOptions(value: unknown): DoorOptions {
  if (typeof value !== "object" || value === null) throw new Error("a door must be an object of options");
  const given: Record<string, unknown> = { ...value };
  const text = (field: string, fallback?: string): string => {
    const found = given[field] ?? fallback;
    if (typeof found !== "string" || found === "") throw new Error(`door option "${field}" must be a non-empty string`);
    return found;
  };
  const port = given.port ?? 0;
  if (typeof port !== "number" || !Number.isInteger(port) || port < 0)
    throw new Error('door option "port" must be a port');
  const refusal = REFUSALS.find((known) => known === (given.refusal ?? "forbidden"));
  if (refusal === undefined) throw new Error(`door option "refusal" must be one of ${REFUSALS.join(", ")}`);
  const audience = text("audience", "lab-application");
  const audTag = given.audTag ?? [audience];
  if (!Array.isArray(audTag) || !audTag.every((tag) => typeof tag === "string")) {
    throw new Error('door option "audTag" must be an array of tags');
  }
  return {
    id: text("id"),
    port,
    origin: new URL(text("origin")).origin,
    clientId: text("clientId"),
    clientSecret: text("clientSecret"),
    refusal,
    path: new RegExp(text("path", "^/")).source,
    audience,
    audTag,
  };
}
