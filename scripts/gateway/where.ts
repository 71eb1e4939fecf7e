/** Which gateway a command is for, as its flags say it. Pure. */
import { DEFAULT_OPTIONS } from "../stack/options.ts";
import { Refusal } from "../stack/refusal.ts";

export type Where = {
  readonly stateDir: string;
  /** Base URL, or null for the local stack's. */
  readonly gateway: string | null;
};

/** For a command's usage. */
export const WHERE_USAGE = `--state DIR            the state folder of the stack to use (default .causeway)
  --gateway URL          another gateway, with an administrator's token in CAUSEWAY_ADMIN_TOKEN`;

/**
 * Where the flags `--state` and `--gateway` point.
 *
 * @throws Refusal (exit code 2) for a URL that a token must not be sent to
 */
export function whereOf(flags: { readonly state?: string | undefined; readonly gateway?: string | undefined }): Where {
  const { state = DEFAULT_OPTIONS.stateDir, gateway } = flags;
  return { stateDir: state, gateway: gateway === undefined ? null : gatewayFrom(gateway) };
}

function gatewayFrom(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isLocal = url !== null && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  if (url === null || !(url.protocol === "https:" || (url.protocol === "http:" && isLocal))) {
    throw new Refusal(2, `--gateway ${text} is no https URL, and the token must not travel in the clear.`);
  }
  return text.replace(/\/+$/, "");
}
