/** What the rungs stand on: bare workerd, and the gateway with their routes (worker/), in all else as it is deployed. */
import { inRepository } from "#scripts/stack/repository.ts";
import { bare } from "../contestants/bare.ts";
import { startGateway } from "../contestants/causeway.ts";
import type { Contestant, Ring } from "../contestants/contestant.ts";
import type { Target } from "../load/job.ts";
import { type OpenRing, openRing } from "../ring.ts";

const gateway: Contestant = {
  name: "gateway",
  start: (ring) => {
    const file = inRepository("scripts", "bench", "ladder", "worker", "worker.ts");
    return startGateway(ring, { file, engineIn: "LADDER_ENGINE" });
  },
};

export type Ground = {
  readonly load: OpenRing["load"];
  readonly bare: Target;
  /** One busy caller's, by the gateway's own route. */
  readonly gateway: Target;
  readonly stop: () => Promise<void>;
};

/** @throws PartFailure when something does not start; nothing runs then */
export async function openGround(ring: Pick<Ring, "folder" | "kept" | "print" | "signal">): Promise<Ground> {
  const { entrants, load, stop } = await openRing([bare, gateway], ring);
  try {
    const [bareTarget, gatewayTarget] = await Promise.all(
      entrants.map(async (entrant): Promise<Target> => {
        if ("absent" in entrant) throw new Error(`${entrant.name}: ${entrant.absent}`);
        const { url, headers, callers, groups } = entrant;
        const people = (await callers?.one()) ?? [{}];
        return { url, headers: people.map((own) => ({ ...headers, ...own })), groups };
      }),
    );
    if (bareTarget === undefined || gatewayTarget === undefined) throw new Error("a ring without its contestants");
    return { load, bare: bareTarget, gateway: gatewayTarget, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
