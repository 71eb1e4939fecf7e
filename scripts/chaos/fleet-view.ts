/** What `GET /admin/fleet` says of the shares that each host of a model is to get. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { ask, type Gateway } from "#scripts/gateway/ask.ts";
import { sum } from "./statistics.ts";

const page = z.object({
  models: z.array(z.object({ id: z.string(), hosts: z.array(z.object({ id: z.string(), share: z.number() })) })),
});

/** 0 to 1, by host id. */
export type Shares = Readonly<Record<string, number>>;

const EVERY_MS = 500;

/** The computed shares of a model now. Null when the page does not tell. */
async function sharesOf(gateway: Gateway, model: string): Promise<Shares | null> {
  const answer = await ask(gateway, { method: "GET", path: "/admin/fleet", body: null });
  const hosts = page.safeParse(answer).data?.models.find(({ id }) => id === model)?.hosts;
  return hosts === undefined ? null : Object.fromEntries(hosts.map(({ id, share }) => [id, share]));
}

/**
 * Looks at a model's computed shares again and again while something else is done.
 *
 * @param admin yields the gateway with an administrator's token that is good now
 * @returns their means; null when the page never told
 */
export async function meanShares(admin: () => Gateway, model: string, work: Promise<unknown>): Promise<Shares | null> {
  const looks: Shares[] = [];
  let isOver = false;
  const watching = (async () => {
    for (; !isOver; await sleep(EVERY_MS)) {
      const shares = await sharesOf(admin(), model);
      if (shares !== null) looks.push(shares);
    }
  })();
  try {
    await work;
  } finally {
    isOver = true;
    await watching;
  }
  return looks.length === 0 ? null : meanOf(looks);
}

function meanOf(looks: readonly Shares[]): Shares {
  const hosts = new Set(looks.flatMap((shares) => Object.keys(shares)));
  return Object.fromEntries(
    [...hosts].map((host) => [host, sum(looks.map((shares) => shares[host] ?? 0)) / looks.length]),
  );
}
