import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { lanesFor, MOST_LANES } from "#src/batches/slice.ts";
import { type Env, envProblems, secretOf } from "#src/env.ts";
import wranglerToml from "../../wrangler.toml?raw";

/** The fields at fault when these are changed. */
function wrong(changed: Record<string, unknown>): string[] {
  return envProblems({ ...env, ...changed } as Env).map((problem) => problem.slice(0, problem.indexOf(":")));
}

test("the bindings of wrangler.toml are complete", () => {
  expect(envProblems(env)).toEqual([]);
});

test("the platform's own log keeps no URL: a question may stand in one", () => {
  expect(wranglerToml).toMatch(/^observability = .*\binvocation_logs = false\b/m);
});

test("whoever is called for batches is called for no more than it may run lines at once", () => {
  const consumer = wranglerToml.split("[[queues.consumers]]").find((text) => text.includes('queue = "batches"'));
  const batches = Number(/^max_batch_size = (\d+)$/m.exec(consumer ?? "")?.[1]);
  expect(batches * lanesFor(batches)).toBeLessThanOrEqual(MOST_LANES);
});

describe("named when missing or wrong", () => {
  test.each<{ name: string; changed: Record<string, unknown>; fields: string[] }>([
    { name: "no secret", changed: { CAUSEWAY_SECRET: undefined }, fields: ["CAUSEWAY_SECRET"] },
    { name: "a short secret", changed: { CAUSEWAY_SECRET: "x".repeat(31) }, fields: ["CAUSEWAY_SECRET"] },
    { name: "a secret of another type", changed: { CAUSEWAY_SECRET: { text: "x" } }, fields: ["CAUSEWAY_SECRET"] },
    { name: "no issuer", changed: { OIDC_ISSUER: undefined }, fields: ["OIDC_ISSUER"] },
    { name: "an issuer that is no URL", changed: { OIDC_ISSUER: "id.example.test" }, fields: ["OIDC_ISSUER"] },
    { name: "an issuer of another scheme", changed: { OIDC_ISSUER: "ftp://id.example.test" }, fields: ["OIDC_ISSUER"] },
    { name: "an empty audience", changed: { OIDC_AUDIENCE: "" }, fields: ["OIDC_AUDIENCE"] },
    { name: "no KV", changed: { KV: undefined }, fields: ["KV"] },
    { name: "a text for KV", changed: { KV: "causeway" }, fields: ["KV"] },
    { name: "no sockets", changed: { CHAT_SOCKET: undefined }, fields: ["CHAT_SOCKET"] },
    { name: "no tickets", changed: { TICKET: {} }, fields: ["TICKET"] },
    { name: "no accounts", changed: { ACCOUNT: undefined }, fields: ["ACCOUNT"] },
    { name: "KV for the fleet", changed: { FLEET: env.KV }, fields: ["FLEET"] },
    { name: "no tenants", changed: { TENANT: undefined }, fields: ["TENANT"] },
    { name: "no resumable streams", changed: { RESUMABLE: undefined }, fields: ["RESUMABLE"] },
    { name: "a grace of no time", changed: { RESUME_GRACE_MS: "0" }, fields: ["RESUME_GRACE_MS"] },
    { name: "a wait in words", changed: { OUTBOX_SEND_MS: "soon" }, fields: ["OUTBOX_SEND_MS"] },
    { name: "no queue", changed: { USAGE: null }, fields: ["USAGE"] },
    { name: "no batches", changed: { BATCHES: undefined }, fields: ["BATCHES"] },
    { name: "no queue of batches", changed: { BATCH_CALLS: undefined }, fields: ["BATCH_CALLS"] },
    { name: "no queue of jobs", changed: { JOBS: undefined }, fields: ["JOBS"] },
    ...["0", "2m", "-1", "1.5", "", 120_000].map((value) => ({
      name: `a time to send again of ${JSON.stringify(value)}`,
      changed: { OUTBOX_RESEND_MS: value },
      fields: ["OUTBOX_RESEND_MS"],
    })),
    { name: "no queue of jobs", changed: { JOBS: undefined }, fields: ["JOBS"] },
    { name: "no database", changed: { HYPERDRIVE: undefined }, fields: ["HYPERDRIVE"] },
    { name: "two at once", changed: { KV: undefined, OIDC_AUDIENCE: undefined }, fields: ["OIDC_AUDIENCE", "KV"] },
  ])("$name", ({ changed, fields }) => {
    expect(wrong(changed)).toEqual(fields);
  });
});

test("a time to send again may be named, in ms", () => {
  for (const OUTBOX_RESEND_MS of [undefined, "1", "120000"]) expect(wrong({ OUTBOX_RESEND_MS })).toEqual([]);
});

test("what is wrong is said without the value", () => {
  const said = envProblems({ ...env, CAUSEWAY_SECRET: "hunter2", OIDC_ISSUER: "hunter3" } as Env).join();
  expect(said).not.toMatch(/hunter/);
});

test("the answer is kept per bindings, and not mixed up", () => {
  const broken = { ...env, KV: undefined } as unknown as Env;
  expect(envProblems(broken)).toBe(envProblems(broken));
  expect(envProblems(env)).toEqual([]);
});

describe("a secret that the catalog names", () => {
  test.each<{ name: string; value: unknown; is: string | undefined }>([
    { name: "set", value: "k", is: "k" },
    { name: "empty", value: "", is: undefined },
    { name: "not set", value: undefined, is: undefined },
    { name: "a binding", value: {}, is: undefined },
  ])("$name", ({ value, is }) => {
    expect(secretOf({ ...env, A_KEY: value } as Env, "A_KEY")).toBe(is);
  });
});
