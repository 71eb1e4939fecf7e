/** The cloudflared configuration of one tunnel, as text. Pure. */
import { stringify } from "yaml";
import type { PlannedTunnel } from "./plan.ts";

/** What only the operator's account knows. Absent: a placeholder that says what belongs there. */
export type Account = {
  readonly team?: string | undefined;
  readonly tunnelId?: string | undefined;
  /** Audience tags of the Access applications before the tunnel's hostnames. */
  readonly audTags?: readonly string[] | undefined;
};

/** Placeholders begin so. */
export const PLACEHOLDER = "REPLACE-WITH";

/** A file for cloudflared. */
export function render({ name, rules }: PlannedTunnel, { team, tunnelId, audTags = [] }: Account): string {
  const id = tunnelId ?? `${PLACEHOLDER}-TUNNEL-ID`;
  const config = {
    tunnel: id,
    "credentials-file": `/etc/cloudflared/${id}.json`,
    // Workers VPC needs it, and a lost packet holds up one stream and not all.
    protocol: "quic",
    "no-autoupdate": true,
    "grace-period": "30s",
    metrics: "127.0.0.1:20241",
    originRequest: {
      connectTimeout: "5s",
      // vLLM (uvicorn) and llama.cpp (cpp-httplib) close a connection that was idle for 5 s. Who reuses it lets go sooner: a
      // question that meets the closing is lost, and a lost POST is asked again by nobody.
      keepAliveTimeout: "4s",
      noHappyEyeballs: true,
      access: {
        required: true,
        teamName: team ?? `${PLACEHOLDER}-TEAM`,
        audTag: audTags.length > 0 ? audTags : [`${PLACEHOLDER}-AUDIENCE-TAG`],
      },
    },
    ingress: [
      ...rules.map(({ hostname, path, service }) => ({ hostname, path, service })),
      { service: "http_status:404" },
    ],
  };
  return `${heading(name, rules.length)}${stringify(config, { lineWidth: 0 })}`;
}

function heading(name: string, hosts: number): string {
  const what = hosts === 1 ? "its engine" : `its ${hosts} engines`;
  return `# cloudflared on the machine of ${name}, for ${what}. Written by \`npm run tunnel -- render\`; see ../README.md.
# The paths are what the gateway asks for, and no others: engines have routes that must never be reachable.
`;
}
