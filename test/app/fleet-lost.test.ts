/** The Fleet object cannot be reached: each isolate chooses by its own count, and the ledger says so. */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { app } from "#src/app.ts";
import type { Env } from "#src/env.ts";
import type { Report } from "#src/fleet/ticket-book.ts";
import { POOL } from "#src/fleet/watch.ts";
import type { AccountRequest } from "#src/limits/account.do.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { CHAT, type Gateway } from "#test/support/gateway.ts";
import { after, failing, hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const HOSTS = [hostOf("own", { slots: 3 }), hostOf("worse", { slots: 8 }), hostOf("better", { slots: 8 })];
const MODELS = [modelOn("m", ["own"]), modelOn("either", ["worse", "better"])];

let gateway: Gateway;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  ({ gateway, hosts } = await withHosts(HOSTS, MODELS));
});
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});
vi.setConfig({ testTimeout: 15_000 });

function host(id: string): StandIn {
  const standIn = hosts[id];
  if (standIn === undefined) throw new Error(`no stand-in for ${id}`);
  return standIn;
}
beforeEach(() => {
  for (const one of Object.values(hosts)) {
    one.most = 0;
    one.asked.length = 0;
  }
});

const gone = () => Promise.reject(new Error("Network connection lost."));
const never = () => new Promise<never>(() => undefined);
const stub = (answer: () => Promise<never>) => ({ report: answer, take: answer, leave: answer, release: answer });
type FleetStub = ReturnType<typeof stub>;

/** An isolate of its own whose Fleet object is this one, and the events with which its requests ended. */
function isolateWith(connect: () => object) {
  const events: InferenceEvent[] = [];
  const account = (name: string) => {
    const real = env.ACCOUNT.getByName(name);
    return {
      admit: (request: AccountRequest) => real.admit(request),
      confirm: (id: string) => real.confirm(id),
      standing: (...of: Parameters<typeof real.standing>) => real.standing(...of),
      settle: (event: InferenceEvent) => {
        events.push(event);
        return real.settle(event);
      },
    };
  };
  const bindings = {
    ...env,
    FLEET: { getByName: connect, idFromName: () => undefined },
    ACCOUNT: { getByName: account, idFromName: () => undefined },
  } as unknown as Env;
  const ask = async (model = "m", prefer = "wait=5"): Promise<Response> => {
    const authorization = `Bearer ${await gateway.issuer.sign({ sub: crypto.randomUUID(), tier: "default" })}`;
    const headers = { authorization, "content-type": "application/json", prefer };
    const body = JSON.stringify({ ...CHAT, model });
    const context = createExecutionContext();
    const request = new Request("http://x/v1/chat/completions", { method: "POST", headers, body });
    const response = await app.fetch(request, bindings, context);
    const text = await response.text();
    // What hangs is not waited for.
    await Promise.race([waitOnExecutionContext(context), scheduler.wait(100)]);
    return new Response(text, response);
  };
  return { ask, events };
}

describe.each<{ name: string; answer: () => Promise<never> }>([
  { name: "fails", answer: gone },
  { name: "hangs", answer: never },
])("a Fleet object that $name", ({ answer }) => {
  test("costs nobody an answer; the choice is marked as local", async () => {
    const { ask, events } = isolateWith(() => stub(answer));
    const response = await ask();
    expect(response.status).toBe(200);
    expect(response.headers.get("x-causeway-host")).toBe("own");
    expect(events).toEqual([
      expect.objectContaining({ outcome: "complete", host: "own", attempts: 1, placedBy: "local", queueWaitMs: null }),
    ]);
  });

  test("leaves the isolate to its own count: never more than the host's slots", async () => {
    const { ask, events } = isolateWith(() => stub(answer));
    await ask();
    host("own").answer = after(100);
    const responses = await Promise.all(Array.from({ length: 10 }, () => ask()));
    expect(host("own").most).toBe(3);
    const refused = responses.filter(({ status }) => status !== 200);
    expect(refused).toHaveLength(7);
    for (const { status, headers } of refused) {
      expect(status).toBe(503);
      expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    }
    expect(events.filter(({ outcome }) => outcome === "shed")).toHaveLength(7);
    // What is over has given its slot back.
    expect((await ask()).status).toBe(200);
  });
});

test("failures that only this isolate has seen are enough for it to go elsewhere", async () => {
  const { ask, events } = isolateWith(() => stub(gone));
  host("worse").answer = failing;
  const chosen: (string | null)[] = [];
  for (let call = 0; call < 20; call++) chosen.push((await ask("either")).headers.get("x-causeway-host"));
  expect(new Set(chosen)).toEqual(new Set(["better"]));
  expect(host("worse").asked.length).toBeLessThanOrEqual(5);
  expect(events.every(({ placedBy }) => placedBy === "local")).toBe(true);
  const tries = events.reduce((sum, { attempts }) => sum + attempts, 0);
  expect(tries).toBe(20 + host("worse").asked.length);
});

test("it comes back, and grants again what it now knows of", async () => {
  let isGone = true;
  const reports: Report[] = [];
  const real = env.FLEET.getByName(POOL);
  const connect = (): FleetStub | object => {
    if (isGone) return stub(gone);
    return {
      report: (report: Report) => {
        reports.push(report);
        return real.report(report);
      },
      take: (...of: Parameters<typeof real.take>) => real.take(...of),
      leave: (id: string) => real.leave(id),
      release: (...of: Parameters<typeof real.release>) => real.release(...of),
    };
  };
  const { ask, events } = isolateWith(connect);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
  for (let call = 0; call < 3; call++) {
    // Each tells, or would tell, how the one before it ended.
    await ask();
    vi.setSystemTime(Date.now() + 2_500);
  }
  isGone = false;
  await vi.waitFor(
    async () => {
      expect((await ask()).status).toBe(200);
      expect(events.at(-1)?.placedBy).toBe("fleet");
    },
    { timeout: 6_000, interval: 50 },
  );
  vi.useRealTimers();
  const heard = reports.flatMap(({ outcomes }) => Object.values(outcomes)).reduce((sum, { ok }) => sum + ok, 0);
  // All that was answered locally.
  expect(heard).toBeGreaterThanOrEqual(events.filter(({ placedBy }) => placedBy === "local").length);
});

test("two isolates of one pool together never have more in flight than the host has slots", async () => {
  const isolates = [isolateWith(() => env.FLEET.getByName(POOL)), isolateWith(() => env.FLEET.getByName(POOL))];
  host("own").answer = after(20);
  const responses = await Promise.all(isolates.flatMap(({ ask }) => Array.from({ length: 10 }, () => ask())));
  expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 200));
  expect(host("own").most).toBe(3);
});
