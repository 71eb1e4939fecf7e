/** Hosts that fail before their answer begins, and hosts that are slow: what it costs the others, and the caller. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { CHAT, type Gateway, type Host } from "#test/support/gateway.ts";
import { ledgerRows } from "#test/support/ledger.ts";
import { after, failing, hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const first = (id: string) => hostOf(id, { slots: 64, weight: 1e9 });
const other = (id: string) => hostOf(id, { slots: 64, weight: 1e-9 });
const MODELS = ["budget", "hedged", "plain", "mute"];

let gateway: Gateway;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  const deadlines = { connect: 150, firstToken: 300, total: 5_000 };
  const models = MODELS.map((id) =>
    modelOn(id, [`${id}-a`, `${id}-b`], {
      affinity: false,
      hedge: id === "hedged",
      deadlines: id === "mute" ? deadlines : {},
    }),
  );
  ({ gateway, hosts } = await withHosts(
    MODELS.flatMap((id) => [first(`${id}-a`), other(`${id}-b`)]),
    models,
  ));
});
afterAll(() => {
  vi.restoreAllMocks();
});
vi.setConfig({ testTimeout: 15_000 });

function host(id: string): StandIn {
  const standIn = hosts[id];
  if (standIn === undefined) throw new Error(`no stand-in for ${id}`);
  return standIn;
}

const ask = (model: string, more: object = {}) =>
  gateway.ask("/v1/chat/completions", {
    as: { sub: `${model}-user` },
    body: { ...CHAT, model, max_tokens: 20, ...more },
  });

test("a question that breaks every host is asked of others three times in ten seconds, and then of none", async () => {
  host("budget-a").answer = failing;
  host("budget-b").answer = failing;
  for (let question = 0; question < 8; question++) expect((await ask("budget")).status).toBe(502);
  expect(host("budget-a").asked.length + host("budget-b").asked.length).toBe(8 + 3);
});

describe("a host that takes longer than it mostly does", () => {
  test.each([
    { model: "hedged", by: "hedged-b", second: 1, outcome: { attempts: 2, wasted_tokens: null } },
    { model: "plain", by: "plain-a", second: 0, outcome: { attempts: 1, wasted_tokens: 0 } },
  ])("$model: answered by $by", async ({ model, by, second, outcome }) => {
    for (let question = 0; question < 25; question++) await (await ask(model)).text();
    host(`${model}-a`).answer = after(600);
    const response = await ask(model);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-causeway-host")).toBe(by);
    expect(host(`${model}-b`).asked).toHaveLength(second);
    const [row] = await ledgerRows(response.headers.get("x-request-id"));
    expect(row).toMatchObject({ outcome: "complete", host: by, hosts: [by], ...outcome });
  });
});

/** Nothing comes of it but the end of the exchange. */
const hungUp = (signal: AbortSignal | null | undefined): Promise<never> =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));

test.each<{ name: string; answer: Host; code: string }>([
  { name: "headers that do not come", answer: (_, signal) => hungUp(signal), code: "connect_timeout" },
  {
    name: "a first token that does not come",
    answer: (_, signal) => {
      const body = new ReadableStream({ pull: () => hungUp(signal) });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
    code: "first_token_timeout",
  },
])("$name: each has a code of its own", async ({ answer, code }) => {
  host("mute-a").answer = answer;
  host("mute-b").answer = answer;
  const response = await ask("mute", { stream: true });
  expect(response.status).toBe(504);
  expect(await response.json()).toMatchObject({ error: { code } });
});
