import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Principal } from "#src/auth/principal.ts";
import type { Env } from "#src/env.ts";
import type { Call, KnownCall } from "#src/ingress/call.ts";
import { newDenials, recordAct, recordDenial } from "#src/ingress/record.ts";
import { Problem } from "#src/problem.ts";
import { type AuditEvent, auditEvent, type UsageMessage } from "#src/usage/event.ts";

const REQUEST_ID = "019aa000-0000-7000-8000-000000000001";
const ADMIN: Principal = {
  accountId: "https://id.test/|admin-user",
  userId: "admin-user",
  tenant: null,
  tier: "default",
  roles: ["ai-admins"],
  scopes: ["admin"],
  keyId: null,
};
const ACT = { action: "issuer-keys.purge", target: "every issuer", outcome: "ok" } as const;

/** The bindings, keeping what they are given; a call fails where the test breaks it. */
function world() {
  const queued: UsageMessage[] = [];
  const settled: { account: string; event: AuditEvent }[] = [];
  const broken = { queue: false, account: false };
  const work: Promise<void>[] = [];
  const env = {
    USAGE: {
      send: async (message: UsageMessage) => {
        if (broken.queue) throw new Error("queue down");
        queued.push(message);
      },
    },
    ACCOUNT: {
      getByName: (account: string) => ({
        settle: async (event: AuditEvent) => {
          if (broken.account) throw new Error("object reset");
          settled.push({ account, event });
        },
      }),
    },
  };
  const call = {
    request: new Request("http://x/admin/fleet?secret=1", { headers: { authorization: "Bearer top-secret" } }),
    env: env as unknown as Env,
    isolate: { denials: newDenials() },
    requestId: REQUEST_ID,
    address: "203.0.113.7",
    defer: (promise: Promise<void>) => void work.push(promise),
  } as unknown as Call;
  const knownAs = (changed: Partial<Principal> = {}): KnownCall => ({ ...call, principal: { ...ADMIN, ...changed } });
  return { call, knownAs, queued, settled, broken, done: () => Promise.all(work) };
}

/** What an audit event on the queue says beside its act. */
function detailOf(message: UsageMessage | undefined): AuditEvent["detail"] | undefined {
  return message?.event.kind === "audit" ? message.event.detail : undefined;
}

const error = vi.spyOn(console, "error");
beforeEach(() => {
  error.mockReset().mockReturnValue();
});

describe("an act", () => {
  test("of a known caller goes through its own outbox, with who, what, on what, from where, when and the request", async () => {
    const { knownAs, settled, queued, done } = world();
    const beforeMs = Date.now();
    recordAct(knownAs(), { ...ACT, detail: { epoch: 3 } });
    await done();
    expect(queued).toEqual([]);
    expect(settled.map(({ account }) => account)).toEqual([ADMIN.accountId]);
    const event = auditEvent.parse(settled[0]?.event);
    expect(event).toMatchObject({
      actor: "admin-user",
      keyId: null,
      ...ACT,
      ip: "203.0.113.7",
      requestId: REQUEST_ID,
      detail: { epoch: 3, account: ADMIN.accountId },
    });
    expect(event.atMs).toBeGreaterThanOrEqual(beforeMs);
  });

  test("with an API key names the key", async () => {
    const { knownAs, settled, done } = world();
    recordAct(knownAs({ accountId: "key|ci", userId: "ci", keyId: "key_7" }), ACT);
    await done();
    expect(settled[0]?.event).toMatchObject({ actor: "ci", keyId: "key_7", detail: {} });
  });

  test("whose outbox cannot be reached goes to the queue", async () => {
    const { knownAs, queued, broken, done } = world();
    broken.account = true;
    recordAct(knownAs(), ACT);
    await done();
    expect(queued).toMatchObject([{ event: ACT, outbox: null }]);
  });

  test("of nobody known goes straight to the queue", async () => {
    const { call, queued, settled, done } = world();
    recordAct(call, ACT);
    await done();
    expect(settled).toEqual([]);
    expect(queued).toMatchObject([{ event: { actor: "anonymous", keyId: null }, outbox: null }]);
  });

  test("that nobody takes is kept in the log, and harms no request", async () => {
    const { knownAs, broken, done } = world();
    broken.account = true;
    broken.queue = true;
    recordAct(knownAs(), ACT);
    await done();
    const lines = error.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines).toMatchObject([{ at: "record.outbox" }, { at: "record.lost", event: ACT }]);
  });
});

describe("a denial", () => {
  const denied = new Problem("insufficient_permissions");
  const unknown = new Problem("invalid_api_key", { cause: "no such key" });

  test("names the route by its pattern, the code and the method; never what was sent", async () => {
    const { knownAs, settled, done } = world();
    recordDenial(knownAs(), "/v1/models/:parameter{.+}", denied);
    await done();
    expect(settled[0]?.event).toMatchObject({
      action: "access.denied",
      target: "/v1/models/:parameter{.+}",
      outcome: "denied",
      detail: { code: "insufficient_permissions", method: "GET" },
    });
    expect(JSON.stringify(settled)).not.toMatch(/secret/);
  });

  test.each<{ name: string; cause: unknown; detail: Record<string, unknown> }>([
    { name: "the door's own words", cause: "no such key", detail: { reason: "no such key" } },
    { name: "an error's message could hold anything", cause: new Error("Bearer top-secret"), detail: {} },
    { name: "nothing", cause: undefined, detail: {} },
  ])("says why: $name", async ({ cause, detail }) => {
    const { call, queued, done } = world();
    recordDenial(call, "/v1/models", new Problem("invalid_api_key", { cause }));
    await done();
    expect(detailOf(queued[0])).toEqual({ code: "invalid_api_key", method: "GET", ...detail });
  });

  test("in a flood is sampled, and the next one says how many were left out", async () => {
    const { call, queued, done } = world();
    for (let turn = 0; turn < 50; turn++) recordDenial(call, "/v1/models", unknown);
    recordDenial({ ...call, address: "198.51.100.9" }, "/v1/models", unknown);
    await done();
    expect(queued).toHaveLength(11);
    expect(queued.map((message) => detailOf(message)?.suppressed)).toEqual([...Array(10).fill(undefined), 40]);
  });

  test("of a known caller is recorded in the midst of a storm of strangers, and one caller's storm hides no other's", async () => {
    const { call, knownAs, settled, done } = world();
    for (let turn = 0; turn < 500; turn++) recordDenial({ ...call, address: `10.0.0.${turn}` }, "/v1/models", unknown);
    for (let turn = 0; turn < 50; turn++) recordDenial(knownAs({ accountId: "i|loud", userId: "loud" }), "/x", denied);
    recordDenial(knownAs({ accountId: "i|quiet", userId: "quiet" }), "/x", denied);
    await done();
    expect(settled.filter(({ event }) => event.actor === "loud")).toHaveLength(10);
    expect(settled.filter(({ event }) => event.actor === "quiet")).toHaveLength(1);
  });
});
