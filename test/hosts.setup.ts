import type { TestProject } from "vitest/node";
import { startDoor } from "#scripts/lab/door/door.ts";
import { parseDoorOptions } from "#scripts/lab/door/options.ts";
import { startLabHost } from "#scripts/lab/host.ts";
import { parseHostOptions } from "#scripts/lab/options.ts";
import { pathRuleOf } from "#scripts/tunnel/paths.ts";
import type { Ways } from "./support/ways.ts";

const TOKEN = { id: "gateway.access", secret: "secret-of-the-service-token" };
/** Nothing listens here. */
const NOWHERE = "http://127.0.0.1:1";

/** Hosts of the lab and doors before them, for tests inside workerd that reach a host over real sockets. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const engine = (id: string, more: object = {}) =>
    startLabHost(
      parseHostOptions({ id, engine: "vllm", models: ["org/lab"], ttftMs: 5, tokensPerSecond: 200, ...more }),
    );
  const [lab, locked] = await Promise.all([engine("lab"), engine("locked", { apiKey: "another-key" })]);
  // What the tunnel's own configuration lets through: what the gateway asks beyond it fails the tests.
  const path = pathRuleOf({ engine: "vllm", native: false, offers: [] });
  const common = { origin: lab.url, path, clientId: TOKEN.id, clientSecret: TOKEN.secret };
  const doorOf = (id: string, more: object = {}) => startDoor(parseDoorOptions({ id, ...common, ...more }));
  const refusing = (refusal: string) => doorOf(refusal, { refusal, clientSecret: "another-secret" });
  const [door, orphan, login, forbidden, unauthorized] = await Promise.all([
    doorOf("door"),
    doorOf("orphan", { origin: NOWHERE }),
    refusing("login"),
    refusing("forbidden"),
    refusing("unauthorized"),
  ]);
  project.provide("serviceToken", TOKEN);
  const ways: Ways = {
    lab: lab.url,
    locked: locked.url,
    door: door.url,
    orphan: orphan.url,
    login: login.url,
    forbidden: forbidden.url,
    unauthorized: unauthorized.url,
  };
  project.provide("ways", ways);
  return async () => {
    await Promise.all([door, orphan, login, forbidden, unauthorized, locked, lab].map((server) => server.stop()));
  };
}
