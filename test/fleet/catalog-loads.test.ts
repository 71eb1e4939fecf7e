import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import { Fleet } from "#src/fleet/fleet.do.ts";
import { type AuditEvent, auditEvent } from "#src/usage/event.ts";
import { withOwnQueue } from "#test/support/own-queue.ts";

const sent: AuditEvent[] = [];
const queue = { down: false };

beforeEach(() => {
  sent.length = 0;
  queue.down = false;
  vi.spyOn(globalThis, "fetch").mockResolvedValue(new Response());
  vi.spyOn(console, "error").mockReturnValue();
  // Hosts are asked at once.
  vi.spyOn(Math, "random").mockReturnValue(0);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await env.KV.delete(CATALOG_KEY);
});

const documentOf = (model: string) =>
  JSON.stringify({
    hosts: [{ id: "gpu", engine: "vllm", reach: { via: "direct", url: "http://gpu.internal" } }],
    models: [{ id: model, served: [{ host: "gpu", as: "m" }] }],
  });

/** A pool of its own, whose alarm goes off when the test says so and whose queue keeps what it is given. */
async function pool() {
  const fleet = env.FLEET.getByName(crypto.randomUUID());
  const round = async (document?: string | null): Promise<void> => {
    if (typeof document === "string") await env.KV.put(CATALOG_KEY, document);
    if (document === null) await env.KV.delete(CATALOG_KEY);
    await runInDurableObject(fleet, async (instance, state) => {
      tapQueue(instance);
      await state.storage.setAlarm(Date.now() + 3_600_000);
    });
    await runDurableObjectAlarm(fleet);
  };
  return { fleet, round };
}

function tapQueue(fleet: Fleet): void {
  withOwnQueue(fleet, (messages) => {
    if (queue.down) throw new Error("Too Many Requests");
    for (const { event, outbox } of messages) {
      expect(outbox).toBeNull();
      // Hosts' states go the same way.
      if (event.kind === "audit") sent.push(auditEvent.parse(event));
    }
  });
}

const told = () => sent.map(({ outcome, detail }) => [outcome, detail.path ?? detail.hosts]);

describe("a catalog is told of once", () => {
  test("however often it is read, and after a restart", async () => {
    const { fleet, round } = await pool();
    await round(documentOf("a"));
    await round();
    await evictDurableObject(fleet);
    await round();
    expect(sent).toMatchObject([
      {
        actor: "system",
        action: "catalog.load",
        target: "catalog",
        outcome: "ok",
        detail: { digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/), hosts: 1, models: 1 },
      },
    ]);
  });

  test("each change, and a way back too", async () => {
    const { round } = await pool();
    for (const model of ["a", "b", "b", "a"]) await round(documentOf(model));
    const digests = sent.map(({ detail }) => detail.digest);
    expect(digests).toHaveLength(3);
    expect(digests[2]).toBe(digests[0]);
    expect(digests[1]).not.toBe(digests[0]);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(3);
  });

  test("the bundled one where there is no other", async () => {
    const { round } = await pool();
    await round(null);
    await round();
    expect(told()).toEqual([["ok", expect.any(Number)]]);
  });
});

test.each<{ name: string; document: string; path: string }>([
  { name: "no JSON", document: "{", path: "(the document)" },
  {
    name: "a field that is unknown",
    document: JSON.stringify({ ...JSON.parse(documentOf("a")), x: 1 }),
    path: "(the document)",
  },
  {
    name: "a model without its host",
    document: documentOf("a").replace('"host":"gpu"', '"host":"gone"'),
    path: "models.0.served.0.host",
  },
])("one that is refused is told of once, with the first thing wrong: $name", async ({ document, path }) => {
  const { round } = await pool();
  await round(documentOf("a"));
  await round(document);
  await round(document);
  expect(sent.slice(1)).toMatchObject([
    { outcome: "failed", detail: { path, reason: expect.any(String), digest: expect.any(String) } },
  ]);
});

describe("nothing is lost or repeated", () => {
  test("while the queue is down, and over a restart", async () => {
    const { fleet, round } = await pool();
    queue.down = true;
    await round(documentOf("a"));
    await round(documentOf("b"));
    queue.down = false;
    await runInDurableObject(fleet, async (_, state) => {
      const fresh = new Fleet(state, env);
      tapQueue(fresh);
      await fresh.alarm();
    });
    await round();
    expect(sent).toHaveLength(2);
  });

  test("while KV cannot be asked there is nothing to tell", async () => {
    const { fleet, round } = await pool();
    await round(documentOf("a"));
    await runInDurableObject(fleet, (instance) => {
      const { KV } = Reflect.get(instance, "env") as typeof env;
      vi.spyOn(KV, "get").mockRejectedValue(new Error("KV GET failed: 503"));
    });
    await round();
    expect(sent).toHaveLength(1);
  });
});
