/** The waiting line as callers meet it: hosts that are full, and what becomes of those who ask all the same. */
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { inSession } from "#src/postgres/session.ts";
import type { Gateway } from "#test/support/gateway.ts";
import { CATALOG, CHAT } from "#test/support/gateway.ts";
import { after, hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const CHAT_PATH = "/v1/chat/completions";
const HOSTS = [
  hostOf("pair", { slots: 2 }),
  hostOf("short", { slots: 2 }),
  hostOf("single"),
  hostOf("silent"),
  hostOf("shared", { slots: 2 }),
  hostOf("first"),
  hostOf("second", { backup: true }),
  hostOf("left-whole"),
  hostOf("left-stream"),
  hostOf("beating"),
];
const MODELS = [
  modelOn("pair", ["pair"]),
  modelOn("short", ["short"], { queue: { maxWaiting: 5 } }),
  modelOn("single", ["single"]),
  modelOn("silent", ["silent"]),
  modelOn("one-of-two", ["shared"]),
  modelOn("other-of-two", ["shared"]),
  modelOn("backed-up", ["first", "second"]),
  ...["left-whole", "left-stream", "beating"].map((id) => modelOn(id, [id])),
];

let gateway: Gateway;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  ({ gateway, hosts } = await withHosts(HOSTS, MODELS, {
    tiers: { ...CATALOG.tiers, few: { ...CATALOG.tiers.default, rpm: 5 } },
  }));
});
/** A line is waited in for seconds, on machines that have other work too. */
vi.setConfig({ testTimeout: 15_000 });
afterAll(() => {
  vi.restoreAllMocks();
});

function host(id: string): StandIn {
  const standIn = hosts[id];
  if (standIn === undefined) throw new Error(`no stand-in for ${id}`);
  return standIn;
}

type Asking = {
  readonly as?: Record<string, unknown>;
  readonly stream?: boolean;
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal;
};
const NOT_WAITING = { headers: { prefer: "wait=0" } };

const ask = (model: string, { as = { sub: crypto.randomUUID() }, stream = false, ...rest }: Asking = {}) =>
  gateway.ask(CHAT_PATH, { as, ...rest, body: { ...CHAT, model, stream } });

/** What a refusal for want of room says, as OpenAI's clients read it. */
async function expectTurnedAway(response: Response): Promise<void> {
  expect([503, 429]).toContain(response.status);
  expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(await response.json()).toEqual({
    error: {
      code: response.status === 503 ? "host_busy" : "rate_limit_exceeded",
      type: response.status === 503 ? "server_error" : "requests",
      param: null,
      message: expect.any(String),
    },
  });
}

type Row = Record<string, unknown>;

/** Rows of these requests, once all are there. */
function ledger(...responses: readonly Response[]): Promise<Row[]> {
  const ids = responses.map(({ headers }) => headers.get("x-request-id"));
  return rows("SELECT * FROM inference_logs WHERE id = ANY ($1::uuid[]) ORDER BY id", [ids], ids.length);
}

/** The one row of a caller who heard no request id. */
const ledgerOf = (sub: string): Promise<Row[]> => rows("SELECT * FROM inference_logs WHERE user_id = $1", [sub], 1);

function rows(text: string, values: unknown[], count: number): Promise<Row[]> {
  return vi.waitFor(
    async () => {
      const found = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query<Row>(text, values));
      expect(found.rows).toHaveLength(count);
      return found.rows;
    },
    { timeout: 5_000, interval: 100 },
  );
}

const times = <T>(count: number, work: () => T): T[] => Array.from({ length: count }, work);
/** Until so many are in flight on the host. */
const busy = (id: string, count: number) =>
  vi.waitFor(() => expect(host(id).inFlight).toBe(count), { timeout: 3_000, interval: 5 });
/** Until so many wait for a model. */
const waiting = (model: string, count: number) =>
  vi.waitFor(
    async () => {
      const page = await gateway.ask("/admin/fleet", { as: { groups: ["ai-admins"] } });
      const { line } = (await page.json()) as { line: { by_model: Record<string, number> } };
      expect(line.by_model[model] ?? 0).toBe(count);
    },
    { timeout: 3_000, interval: 20 },
  );

describe("thirty at once", () => {
  test("for two slots: never more than two at the host, and everyone in its turn", async () => {
    host("pair").answer = after(10);
    const responses = await Promise.all(times(30, () => ask("pair")));
    expect(responses.map(({ status }) => status)).toEqual(times(30, () => 200));
    expect(host("pair").most).toBe(2);
    const waits = (await ledger(...responses)).map(({ queue_wait_ms }) => queue_wait_ms);
    expect(waits.filter((ms) => ms === null)).toHaveLength(2);
    expect(Math.max(...waits.map(Number))).toBeGreaterThanOrEqual(100);
  });

  test("for two slots and five places in line: seven are answered, the others come back later", async () => {
    host("short").isHeld = true;
    const all = times(30, () => ask("short"));
    await waiting("short", 5);
    host("short").isHeld = false;
    const responses = await Promise.all(all);
    expect(responses.filter(({ status }) => status === 200)).toHaveLength(7);
    for (const response of responses) if (response.status !== 200) await expectTurnedAway(response);
    expect(host("short")).toMatchObject({ most: 2, asked: { length: 7 } });
  });
});

describe("a host that is full", () => {
  test("is told at once to who does not wait, costs it nothing, and is in the ledger as shed", async () => {
    host("single").isHeld = true;
    const first = ask("single");
    await busy("single", 1);
    const as = { sub: crypto.randomUUID(), tier: "few" };
    const refused = await ask("single", { as, ...NOT_WAITING });
    expect(refused.status).toBe(503);
    await expectTurnedAway(refused);
    expect(await ledger(refused)).toEqual([
      expect.objectContaining({ outcome: "shed", attempts: 0, host: null, served_as: null, tokens_used: "0" }),
    ]);
    await vi.waitFor(async () => {
      const limits = await gateway.ask("/v1/limits", { as });
      const { data } = (await limits.json()) as { data: { name: string; remaining: number }[] };
      expect(data.find(({ name }) => name === "rpm")).toMatchObject({ remaining: 5 });
    });
    host("single").isHeld = false;
    expect((await first).status).toBe(200);
  });

  test("counts for all of its models together", async () => {
    host("shared").isHeld = true;
    const both = [ask("one-of-two"), ask("other-of-two")];
    await busy("shared", 2);
    for (const model of ["one-of-two", "other-of-two"]) expect((await ask(model, NOT_WAITING)).status).toBe(503);
    host("shared").isHeld = false;
    for (const response of await Promise.all(both)) expect(response.status).toBe(200);
  });

  test("leaves its work to the backup, which is not asked before", async () => {
    const away = () => ask("backed-up", NOT_WAITING);
    expect((await away()).headers.get("x-causeway-host")).toBe("first");
    host("first").isHeld = true;
    const held = away();
    await busy("first", 1);
    expect((await away()).headers.get("x-causeway-host")).toBe("second");
    host("first").isHeld = false;
    expect((await held).headers.get("x-causeway-host")).toBe("first");
  });
});

describe.concurrent("who leaves the line", () => {
  test.each([false, true])(
    "is never heard of by a host, and leaves its place to others; streaming: %s",
    async (stream) => {
      const id = stream ? "left-stream" : "left-whole";
      host(id).isHeld = true;
      const first = ask(id);
      await busy(id, 1);
      const leaver = new AbortController();
      const as = { sub: crypto.randomUUID() };
      const left = ask(id, { as, stream, signal: leaver.signal });
      await waiting(id, 1);
      leaver.abort();
      await expect(left).rejects.toThrow();
      await waiting(id, 0);
      host(id).isHeld = false;
      expect((await first).status).toBe(200);
      expect((await ask(id, NOT_WAITING)).status).toBe(200);
      expect(host(id).asked).toHaveLength(2);
      expect(await ledgerOf(as.sub)).toEqual([
        expect.objectContaining({ outcome: "client_left", attempts: 0, host: null }),
      ]);
    },
  );
});

describe.concurrent("who streams", () => {
  test("hears a heartbeat while it waits in line, and then its answer", async () => {
    host("beating").isHeld = true;
    const first = ask("beating");
    await busy("beating", 1);
    const response = await ask("beating", { stream: true });
    expect(response.status).toBe(200);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect(await reader?.read()).toEqual({ done: false, value: ": ping\n\n" });
    expect(host("beating").asked).toHaveLength(1);
    host("beating").isHeld = false;
    let text = "";
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) text += part.value;
    expect(text).toContain("hello");
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    await first;
    const [row] = await ledger(response);
    expect(row).toMatchObject({ outcome: "complete", attempts: 1, placed_by: "fleet" });
    expect(Number(row?.queue_wait_ms)).toBeGreaterThanOrEqual(2_000);
  });

  test("and waits for longer than it wants hears that within the stream", async () => {
    host("silent").isHeld = true;
    const first = ask("silent");
    await busy("silent", 1);
    // Several beats: on a busy machine the first may be late.
    const response = await ask("silent", { stream: true, headers: { prefer: "wait=6" } });
    const text = await response.text();
    expect(text).toContain(": ping");
    expect(text).toContain('"code":"host_busy"');
    expect(text).not.toContain("[DONE]");
    expect(await ledger(response)).toEqual([expect.objectContaining({ outcome: "shed", attempts: 0 })]);
    host("silent").isHeld = false;
    await first;
    expect(host("silent").asked).toHaveLength(1);
  });
});
