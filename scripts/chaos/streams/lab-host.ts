/** What a lab host is told and asked during a scenario, by its own routes. */
import { z } from "zod";

export type Fault = {
  readonly kind: string;
  readonly model: string;
  readonly afterTokens?: number;
  readonly ms?: number;
  /** Absent: until it is cleared. */
  readonly times?: number;
};

/** The host's next question of this model is struck; its probes are not. @throws Error when the lab refuses it */
export async function arm(host: string, fault: Fault): Promise<void> {
  const body = JSON.stringify({ ...fault, everywhere: false });
  const response = await fetch(`${host}/lab/fault`, { method: "POST", body });
  if (!response.ok) throw new Error(`the lab refuses a fault: ${await response.text()}`);
  await response.body?.cancel();
}

export async function disarm(host: string): Promise<void> {
  await (await fetch(`${host}/lab/fault`, { method: "DELETE" })).body?.cancel();
}

const strike = z.object({
  requestId: z.string(),
  kind: z.string(),
  atMs: z.number(),
  closedAtMs: z.number().nullable(),
});
export type Strike = z.infer<typeof strike>;

export async function strikesOf(hosts: readonly string[]): Promise<Strike[]> {
  const lists = hosts.map(async (host) => z.array(strike).parse(await (await fetch(`${host}/lab/strikes`)).json()));
  return (await Promise.all(lists)).flat();
}

const generation = z.object({
  requestId: z.string().nullable(),
  ended: z.string().nullable(),
  endedAtMs: z.number().nullable(),
});
export type Generation = z.infer<typeof generation>;

export async function generationsOf(hosts: readonly string[]): Promise<Generation[]> {
  const lists = hosts.map(async (host) => z.array(generation).parse(await (await fetch(`${host}/lab/truth`)).json()));
  return (await Promise.all(lists)).flat();
}

const load = z.object({ open: z.number() });

/** Connections with a question on them, over all hosts. */
export async function openAt(hosts: readonly string[]): Promise<number> {
  const counts = hosts.map(async (host) => load.parse(await (await fetch(`${host}/lab/load`)).json()).open);
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}
