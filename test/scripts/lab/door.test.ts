// The door before a lab host: what Access, the edge and cloudflared do to a request and to its answer, one by one.
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { buildSigner } from "#scripts/lab/door/assertion.ts";
import { type Door, startDoor } from "#scripts/lab/door/door.ts";
import { type DoorOptions, parseDoorOptions } from "#scripts/lab/door/options.ts";
import { answerOf, ask, chatBody, hostFor, until } from "./asking.ts";

const TOKEN = { "cf-access-client-id": "gateway.access", "cf-access-client-secret": "the-secret" };
const CLIENT = { clientId: "gateway.access", clientSecret: "the-secret" };

async function doorBefore(origin: string, more: Partial<DoorOptions> = {}): Promise<Door> {
  const door = await startDoor(parseDoorOptions({ id: "door", origin, ...CLIENT, ...more }));
  onTestFinished(() => door.stop());
  return door;
}

/** An origin of the test's own. */
async function originOf(serve: (req: IncomingMessage, res: ServerResponse) => void): Promise<string> {
  const server = createServer(serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const get = (door: Door, path: string, headers: Record<string, string> = TOKEN) =>
  ask(door, path, undefined, { headers });

describe("Access", () => {
  test("lets in who shows the token, and the engine's answer is the same", async () => {
    const host = await hostFor();
    const door = await doorBefore(host.url);
    const body = chatBody("the same [[tokens=5]]", { temperature: 0 });
    const { json } = await ask(door, "/v1/chat/completions", body, { headers: TOKEN });
    expect(json.choices[0].message.content).toBe(await answerOf(host, "/v1/chat/completions", body));
  });

  const WRONG = [
    { what: "nothing", headers: {} },
    { what: "no secret", headers: { "cf-access-client-id": "gateway.access" } },
    { what: "no id", headers: { "cf-access-client-secret": "the-secret" } },
    { what: "a wrong secret", headers: { ...TOKEN, "cf-access-client-secret": "the-secres" } },
    { what: "a wrong id", headers: { ...TOKEN, "cf-access-client-id": "other.access" } },
    { what: "an assertion of its own", headers: { "cf-access-jwt-assertion": "x" } },
  ];
  test.each(WRONG)("who shows $what never reaches the engine", async ({ headers }) => {
    const host = await hostFor();
    const [login, forbidden, unauthorized] = await Promise.all(
      (["login", "forbidden", "unauthorized"] as const).map((refusal) => doorBefore(host.url, { refusal })),
    );
    if (!login || !forbidden || !unauthorized) throw new Error("three doors");
    const redirect = await get(login, "/health?x=1", headers);
    const location = new URL(redirect.headers.get("location") ?? "");
    expect([redirect.status, location.hostname]).toEqual([302, "lab.cloudflareaccess.com"]);
    expect(location.pathname).toBe(`/cdn-cgi/access/login/${new URL(login.url).host}`);
    expect(location.searchParams.get("redirect_url")).toBe("/health");
    for (const [door, status] of [
      [forbidden, 403],
      [unauthorized, 401],
    ] as const) {
      const page = await get(door, "/health", headers);
      expect([page.status, page.headers.get("content-type")]).toEqual([status, "text/html; charset=UTF-8"]);
      expect(page.text).toContain("Cloudflare Access");
    }
    expect((await ask<unknown[]>(host, "/lab/requests")).json).toEqual([]);
  });

  test("keeps the token, and signs an assertion in the place of the caller's own", async () => {
    const host = await hostFor();
    const door = await doorBefore(host.url);
    await get(door, "/health", { ...TOKEN, "cf-access-jwt-assertion": "of-the-caller", "x-request-id": "r" });
    const [seen] = (await ask<{ headers: Record<string, string> }[]>(host, "/lab/requests")).json;
    const names = Object.keys(seen?.headers ?? {});
    expect(names.filter((name) => name.startsWith("cf-access"))).toEqual(["cf-access-jwt-assertion"]);
    expect(seen?.headers["cf-access-jwt-assertion"]?.split(".")).toHaveLength(3);
    expect(seen?.headers["x-request-id"]).toBe("r");
  });
});

describe("cloudflared", () => {
  test("answers 403 without a word to a token for another application", async () => {
    const door = await doorBefore((await hostFor()).url, { audience: "theirs", audTag: ["ours"] });
    const { status, text, headers } = await get(door, "/health");
    expect([status, text, headers.get("content-type")]).toEqual([403, "", null]);
  });

  test("judges an assertion by its signer, its audience and its age", async () => {
    const [team, others] = await Promise.all([buildSigner(), buildSigner()]);
    const good = await team.sign("ours", "c");
    const judgements = await Promise.all([
      team.judge(good, ["ours"]),
      team.judge(good, ["old", "ours"]),
      team.judge(good, ["old"]),
      team.judge(undefined, ["ours"]),
      team.judge("", ["ours"]),
      team.judge("no.jwt.here", ["ours"]),
      team.judge(await others.sign("ours", "c"), ["ours"]),
    ]);
    expect(judgements).toEqual(["passed", "passed", "filtered", "filtered", "filtered", "failed", "failed"]);
  });

  test.each([
    { path: "/health", status: 200 },
    { path: "/health?deep=1", status: 200 },
    { path: "/v1/models", status: 200 },
    { path: "/v1%2Fmodels", status: 404 },
    { path: "/lab/truth", status: 404 },
    { path: "/metrics", status: 404 },
    { path: "/healthy", status: 404 },
    { path: "/x/health", status: 404 },
    { path: "/", status: 404 },
  ])("lets $path through by the allow-list: $status", async ({ path, status }) => {
    const door = await doorBefore((await hostFor()).url, { path: "^/(health|v1/models)$" });
    expect((await get(door, path)).status).toBe(status);
  });

  test("dots in a path are no way around the allow-list", async () => {
    const door = await doorBefore((await hostFor()).url, { path: "^/(health)$" });
    const status = await new Promise((resolve) => {
      const { port } = new URL(door.url);
      const options = { port, host: "127.0.0.1", path: "/lab/../health", headers: TOKEN };
      request(options, (res) => resolve(res.resume().statusCode)).end();
    });
    expect(status).toBe(404);
  });

  test("has a page for an engine that is down, and the edge bare text for a tunnel that is", async () => {
    const door = await doorBefore("http://127.0.0.1:1");
    const page = await get(door, "/health");
    expect([page.status, page.headers.get("content-type")]).toEqual([502, "text/html; charset=UTF-8"]);
    const turn = (state: string) => ask(door, "/lab/tunnel", { state });
    await turn("down");
    expect(await get(door, "/health")).toMatchObject({ status: 530, text: "error code: 1033" });
    await turn("silent");
    expect(await get(door, "/health")).toMatchObject({ status: 524, text: "error code: 524" });
    expect((await turn("sideways")).status).toBe(400);
    expect((await ask(door, "/lab/tunnel", "{")).status).toBe(400);
    expect((await ask(door, "/lab/tunnel")).json).toEqual({ state: "silent" });
    await turn("up");
    expect((await get(door, "/health")).status).toBe(502);
  });
});

describe("what is flushed", () => {
  /** Sends one piece after the other; how many bytes have arrived after each, which is as many as expected or more. */
  async function inPieces(contentType: string | null, pieces: readonly string[], expected: readonly number[]) {
    const sent = Promise.withResolvers<ServerResponse>();
    const origin = await originOf((_req, res) => {
      if (contentType !== null) res.setHeader("content-type", contentType);
      res.flushHeaders();
      sent.resolve(res);
    });
    const door = await doorBefore(origin);
    let arrived = "";
    const asked = request(`${door.url}/x`, { headers: TOKEN });
    const answered = once(asked, "response").then(([res]: IncomingMessage[]) => {
      res?.on("data", (part: Buffer) => {
        arrived += String(part);
      });
      return once(res as IncomingMessage, "end");
    });
    asked.end();
    const res = await sent.promise;
    const seen: number[] = [];
    for (const [at, piece] of pieces.entries()) {
      res.write(piece);
      await until(
        async () => arrived.length,
        (length) => length >= (expected[at] ?? 0),
      );
      // What should be held back has the time to arrive all the same.
      await new Promise((resolve) => setTimeout(resolve, 20));
      seen.push(arrived.length);
    }
    res.end();
    await answered;
    return { seen, whole: arrived === pieces.join("") };
  }

  test.each([
    "text/event-stream",
    "text/event-stream; charset=utf-8",
    "Text/Event-Stream",
    "application/x-ndjson",
    "application/grpc+proto",
  ])("%s, piece by piece", async (type) => {
    const seen = [2, 5, 6];
    expect(await inPieces(type, ["aa", "bbb", "c"], seen)).toEqual({ seen, whole: true });
  });

  test.each(["application/json", "text/plain", "text/html; was=text/event-stream", null])(
    "%s only when the buffer is full, or at the end",
    async (type) => {
      const pieces = ["a".repeat(4_000), "b".repeat(200), "c".repeat(8_000)];
      const seen = [0, 4_096, 8_192];
      expect(await inPieces(type, pieces, seen)).toEqual({ seen, whole: true });
    },
  );
});

describe("who leaves", () => {
  test.each([
    { when: "before the answer", begins: false },
    { when: "within it", begins: true },
  ])("a caller, $when: the engine's connection is closed", async ({ begins }) => {
    const closed = Promise.withResolvers<string>();
    const asked = Promise.withResolvers<void>();
    const origin = await originOf((_req, res) => {
      res.on("close", () => closed.resolve("closed"));
      if (begins) res.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
      asked.resolve();
    });
    const door = await doorBefore(origin);
    const leaving = new AbortController();
    const asking = fetch(`${door.url}/x`, { headers: TOKEN, signal: leaving.signal });
    asking.catch(() => undefined);
    await asked.promise;
    if (begins) await (await asking).body?.getReader().read();
    leaving.abort();
    expect(await closed.promise).toBe("closed");
  });

  const breaking = (headers: Record<string, string>) =>
    originOf((_req, res) => {
      res.writeHead(200, { "content-type": "text/event-stream", ...headers });
      res.write("data: 1\n\n", () => res.destroy());
    });

  test("an engine within its answer: it ends as if it were whole, as cloudflared ends it", async () => {
    const door = await doorBefore(await breaking({}));
    expect((await get(door, "/x")).text).toBe("data: 1\n\n");
  });

  test("an engine that had promised a length: the answer breaks off", async () => {
    const door = await doorBefore(await breaking({ "content-length": "100" }));
    await expect(get(door, "/x")).rejects.toThrow();
  });
});

test.each([
  { what: "nothing", options: null, reason: "object" },
  { what: "no id", options: { origin: "http://x", ...CLIENT }, reason: '"id"' },
  { what: "no origin", options: { id: "d", ...CLIENT }, reason: '"origin"' },
  { what: "no secret", options: { id: "d", origin: "http://x", clientId: "c" }, reason: '"clientSecret"' },
  { what: "a port of text", options: { id: "d", origin: "http://x", ...CLIENT, port: "1" }, reason: '"port"' },
  {
    what: "an unknown refusal",
    options: { id: "d", origin: "http://x", ...CLIENT, refusal: "no" },
    reason: '"refusal"',
  },
  { what: "a tag that is none", options: { id: "d", origin: "http://x", ...CLIENT, audTag: [1] }, reason: '"audTag"' },
])("options: $what is named", ({ options, reason }) => {
  expect(() => parseDoorOptions(options)).toThrow(reason);
});
