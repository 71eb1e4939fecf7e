import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { app } from "#src/app.ts";
import type { Env } from "#src/env.ts";
import { type Gateway, startGateway } from "#test/support/gateway.ts";

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
  vi.spyOn(console, "log").mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
});

const ADMIN = { groups: ["ai-admins"] };

test("an administrator sees every host and when it is asked next, without its address", async () => {
  const response = await gateway.ask("/admin/fleet", { as: ADMIN });
  const text = await response.text();
  expect(JSON.parse(text)).toEqual({
    hosts: [
      { id: "gpu", engine: "vllm", slots: 1, weight: 1, backup: false, state: expect.stringMatching(/^(unknown|up)$/) },
    ],
    next_probe_at: expect.stringMatching(/^\d{4}-.*Z$/),
  });
  expect(text).not.toContain("gpu.test");
});

test("a host that answers its probe is up", async () => {
  await vi.waitFor(
    async () => {
      const page = (await (await gateway.ask("/admin/fleet", { as: ADMIN })).json()) as { hosts: { state: string }[] };
      expect(page.hosts.map(({ state }) => state)).toEqual(["up"]);
    },
    { timeout: 3_000 },
  );
});

test.each<{ name: string; as: Record<string, unknown> | null; status: number; code: string }>([
  { name: "no credential", as: null, status: 401, code: "invalid_api_key" },
  { name: "a caller", as: { groups: ["ai-users"] }, status: 403, code: "insufficient_permissions" },
  { name: "a monitor", as: { groups: ["ai-monitoring"] }, status: 403, code: "insufficient_permissions" },
])("nobody else: $name, as RFC 9457", async ({ as, status, code }) => {
  const response = await gateway.ask("/admin/fleet", { as });
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const id = response.headers.get("x-request-id");
  expect(await response.json()).toMatchObject({ status, code, instance: `urn:uuid:${id}` });
});

test("a fleet that cannot be reached is said, with when to come back", async () => {
  const down = {
    idFromName: () => undefined,
    getByName: () => ({ snapshot: () => Promise.reject(new Error("reset")) }),
  };
  const headers = { authorization: `Bearer ${await gateway.issuer.sign(ADMIN)}` };
  const context = createExecutionContext();
  const response = await app.fetch(
    new Request("http://x/admin/fleet", { headers }),
    { ...env, FLEET: down } as unknown as Env,
    context,
  );
  await waitOnExecutionContext(context);
  expect(response.headers.get("retry-after")).toBe("2");
  expect(await response.json()).toMatchObject({ status: 503, code: "unavailable" });
});
