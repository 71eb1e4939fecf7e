/** Sockets of the running system, as Node's own client opens them, against the lab's truth and the ledger. */
import { beforeEach, describe, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { ask, credentialOf, hostUrl, rowOf, type TruthEntry, truthOf } from "./world.ts";

const HOST = "cpu-openchat";
const MODEL = "openchat-3.5";
/** What a loaded machine needs, far below any deadline: a host that is left hears of it at once. */
const SOON_MS = 6_000;

beforeEach(async () => {
  await fetch(`${hostUrl(HOST)}/lab/truth`, { method: "DELETE" });
});

type Client = { readonly socket: WebSocket; readonly told: string[]; readonly closed: () => number | null };

/** A socket by a token among the protocols, which is how a browser does it. */
async function opened(path = `/ws/chat/${MODEL}`, protocols = ["causeway.chat.v1", bearer()]): Promise<Client> {
  const socket = new WebSocket(`${stack.gateway.replace("http", "ws")}${path}`, protocols);
  const told: string[] = [];
  let code: number | null = null;
  socket.addEventListener("message", ({ data }) => void told.push(String(data)));
  socket.addEventListener("close", (event) => {
    code = event.code;
  });
  await eventually(async () => (socket.readyState === WebSocket.CONNECTING ? undefined : true), "no handshake");
  return { socket, told, closed: () => code };
}

const bearer = () => `causeway.bearer.${credentialOf("premium")}`;
const question = (tokens: number) => JSON.stringify({ content: `wait for it [[tokens=${tokens}]]` });
const startedOf = ({ told }: Client): string => JSON.parse(told[0] ?? "null").request_id;
const told = (client: Client, count: number) =>
  eventually(async () => (client.told.length >= count ? client.told : undefined), "nothing was said");

async function ended(requestId: string): Promise<TruthEntry> {
  const look = async () => {
    const truth = await truthOf(HOST, requestId);
    return truth?.ended == null ? undefined : truth;
  };
  return eventually(look, "the host goes on working for nobody", SOON_MS);
}

async function busySlots(): Promise<number> {
  const text = await (await fetch(`${hostUrl(HOST)}/metrics`)).text();
  return Number(/^vllm:num_requests_running\{[^}]*\} (\S+)$/m.exec(text)?.[1]);
}

test("a question is answered, and is a request of its own in the ledger", async () => {
  const client = await opened();
  expect(client.socket.protocol).toBe("causeway.chat.v1");
  client.socket.send(question(5));
  await eventually(async () => (client.told.includes("[DONE]") ? true : undefined), "no end");
  const truth = await ended(startedOf(client));
  expect(truth.ended).toBe("stop");
  expect(await rowOf(startedOf(client))).toMatchObject({
    outcome: "complete",
    model: MODEL,
    prompt_tokens: truth.promptTokens,
    completion_tokens: truth.completionTokens,
  });
  client.socket.close();
  await eventually(async () => client.closed() ?? undefined, "the close is not answered");
});

describe("the host stops, its slot is free, and the ledger has what was made", () => {
  test.each<{ name: string; leave: (client: Client) => void }>([
    { name: "when the socket closes", leave: ({ socket }) => socket.close() },
    { name: "when the question is cancelled", leave: ({ socket }) => socket.send('{"type":"cancel"}') },
  ])("$name", async ({ leave }) => {
    const client = await opened();
    client.socket.send(question(5_000));
    await told(client, 4);
    leave(client);
    const requestId = startedOf(client);
    const truth = await ended(requestId);
    expect(truth.ended).toBe("aborted");
    const row = await rowOf(requestId);
    expect(row).toMatchObject({ outcome: "client_left", prompt_tokens: truth.promptTokens });
    expect(row.completion_tokens).toBeGreaterThan(0);
    expect(row.completion_tokens).toBeLessThanOrEqual(truth.completionTokens);
    expect(await busySlots()).toBe(0);
    client.socket.close();
  });
});

test("without a credential no socket opens", async () => {
  const client = await opened(`/ws/chat/${MODEL}`, ["causeway.chat.v1"]);
  expect(client.socket.readyState).toBe(WebSocket.CLOSED);
  expect(client.told).toEqual([]);
});

test("an event stream by a ticket: once, to its end, and no second time", async () => {
  const { ticket } = (await (await ask("/v1/tickets", { method: "POST", as: "premium" })).json()) as { ticket: string };
  const path = `/stream/chat/${MODEL}?message=hello&max_tokens=5&ticket=${ticket}`;
  const response = await ask(path);
  const text = await response.text();
  const [id, ...events] = text.split("\n\n");
  expect(id).toBe(`id: ${response.headers.get("x-request-id")}`);
  expect(events.at(-3)).toBe("data: [DONE]");
  expect(events.at(-2)).toMatch(/^event: end\ndata: \{/);
  expect((await ask(path)).status).toBe(401);
  expect((await ask(path, { headers: { "last-event-id": String(id).slice(4) } })).status).toBe(204);
});
