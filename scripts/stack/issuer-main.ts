/**
 * The local OIDC issuer, standing where Authentik stands: discovery, JWKS, and signed access tokens for the demo
 * principals by the client credentials grant. Runs as its own process: `issuer-main.ts PORT KEYS_FILE`.
 * It has no users, no login and no place outside this machine.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import Provider from "oidc-provider";
import { AUDIENCE, TOKEN_TTL_S } from "./issuer.ts";
import { readIssuerKeys } from "./issuer-keys.ts";
import { isPrincipal, PRINCIPALS, subjectOf } from "./principals.ts";

const [port, keysFile] = process.argv.slice(2);
const keys = readIssuerKeys(keysFile ?? "");
if (port === undefined || keys === null) throw new Error("usage: issuer-main.ts PORT KEYS_FILE");

/** A resource indicator must be a URI; the token's audience need not be one. */
const RESOURCE = `urn:${AUDIENCE}`;

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [keys.jwk] },
  clients: Object.entries(keys.clients).map(([client_id, client_secret]) => ({
    client_id,
    client_secret,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  })),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      getResourceServerInfo: () => ({
        scope: "",
        audience: AUDIENCE,
        accessTokenFormat: "jwt",
        accessTokenTTL: TOKEN_TTL_S,
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  formats: {
    customizers: {
      jwt: (_context, token, { payload }) => {
        const name = token.clientId ?? "";
        if (isPrincipal(name)) Object.assign(payload, PRINCIPALS[name], { sub: subjectOf(name) });
      },
    },
  },
});

const server = createServer(provider.callback());
server.listen(Number(port), "127.0.0.1");
await once(server, "listening");
process.on("disconnect", () => process.exit(0));
process.on("SIGTERM", () => process.exit(0));
