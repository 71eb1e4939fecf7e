/**
 * Hosts of a test's own beside the gateway's: each answers as the test says, and tells what it was asked and how much it
 * had to do at once.
 */
import { vi } from "vitest";
import type { JsonObject } from "#src/json.ts";
import { answering, CATALOG, type Gateway, type Host, sentTo, startGateway } from "./gateway.ts";

export class StandIn {
  /** How it answers. */
  answer: Host = answering;
  /** Whether its probes say that it is well. */
  isWell = true;
  readonly asked: JsonObject[] = [];
  inFlight = 0;
  /** The most that it had to do at once. */
  most = 0;
  /** Answers wait for this. */
  isHeld = false;

  /** One question, from its arrival until the head of its answer. */
  async ask(body: JsonObject, signal: AbortSignal | null | undefined, path: string): Promise<Response> {
    this.asked.push(body);
    this.inFlight += 1;
    this.most = Math.max(this.most, this.inFlight);
    try {
      // Looked at, and not waited for: a promise of one request may not be resolved by another.
      while (this.isHeld) {
        signal?.throwIfAborted();
        await scheduler.wait(2);
      }
      return await this.answer(body, signal, path);
    } finally {
      this.inFlight -= 1;
    }
  }
}

/** An answer that takes its time. */
export const after =
  (ms: number, host: Host = answering): Host =>
  async (body) => {
    await scheduler.wait(ms);
    return host(body);
  };

export const failing: Host = () => new Response("gone", { status: 502 });

/** A host as the catalog has it; its stand-in is found by its name. */
export const hostOf = (id: string, changed: object = {}) => {
  return { id, engine: "vllm", slots: 1, reach: { via: "direct", url: `http://${id}.host` }, ...changed };
};

/** A model under the same name on each of these hosts. */
export const modelOn = (id: string, hosts: readonly string[], changed: object = {}) => {
  return { id, served: hosts.map((host) => ({ host, as: id })), ...changed };
};

/** A gateway with these hosts behind it, and their stand-ins by name. */
export async function withHosts(
  hosts: readonly { readonly id: string }[],
  models: readonly object[],
  more: object = {},
): Promise<{ gateway: Gateway; hosts: Record<string, StandIn> }> {
  const gateway = await startGateway({ ...CATALOG, hosts, models, ...more });
  const standIns = Object.fromEntries(hosts.map(({ id }) => [id, new StandIn()]));
  const mocked = vi.mocked(globalThis.fetch);
  const others = mocked.getMockImplementation();
  mocked.mockImplementation(async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : String(input));
    const standIn = standIns[url.hostname.replace(/\.host$/, "")];
    if (standIn === undefined) return others?.(input, init) ?? Response.error();
    if (init?.method === "POST") return standIn.ask(await sentTo(init), init.signal, url.pathname);
    const isHealth = url.pathname === "/health";
    return new Response(null, { status: isHealth && standIn.isWell ? 200 : isHealth ? 500 : 404 });
  });
  return { gateway, hosts: standIns };
}
