/**
 * A round of probes over all hosts, and what their answers mean for the catalog. Hosts do not wait for one another
 * beyond their number at once; what is wrong with one of them is no other's failure.
 */
import type { Catalog, Host } from "#src/catalog/schema.ts";
import type { Ask } from "#src/upstream/reach.ts";
import { type Probed, probe, unasked } from "./probe.ts";

/** Platform limit: so many answers may be waited for at once, and a probe waits for one at a time. */
const AT_ONCE = 6;
/** Hosts behind one tunnel or of one machine are not all asked in the same instant. */
const SPREAD_MS = 1_500;

/**
 * Probes every host once.
 *
 * @param askOf the way to a host; may throw where there is none
 * @param canaryOf the name to have one token generated with, asked when the host's turn comes; null when none is due
 * @param chance uniform in [0, 1): when in the first 1.5 s a host is asked
 * @param found is told of each host as soon as it has answered: one that hangs does not keep the others' news back
 * @returns once all have been told of. Never rejects, unless `found` throws
 */
export async function probeAll(
  hosts: readonly Host[],
  askOf: (host: Host) => Ask,
  canaryOf: (host: Host) => string | null,
  chance: () => number,
  found: (host: Host, probed: Probed) => void,
): Promise<void> {
  const beganMs = Date.now();
  const line = hosts
    .map((host) => ({ host, startsAtMs: beganMs + chance() * SPREAD_MS }))
    .sort((one, other) => one.startsAtMs - other.startsAtMs);
  const work = async (): Promise<void> => {
    for (let next = line.shift(); next !== undefined; next = line.shift()) {
      const { host, startsAtMs } = next;
      const waitMs = startsAtMs - Date.now();
      if (waitMs > 0) await scheduler.wait(waitMs);
      found(host, await probeOne(host, askOf, canaryOf));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

async function probeOne(
  host: Host,
  askOf: (host: Host) => Ask,
  canaryOf: (host: Host) => string | null,
): Promise<Probed> {
  try {
    return await probe(host, askOf(host), canaryOf(host));
  } catch (cause) {
    // The gateway's own words about its catalog and bindings.
    return unasked(cause instanceof Error ? cause.message : String(cause));
  }
}

/**
 * The names under which the catalog would ask a host for a model, switched off or not, that the host says it does not
 * serve. Pure.
 *
 * @param serves what the host lists; null when it does not tell, and then nothing is missing
 * @returns each once, in the catalog's order
 */
export function missingNames(catalog: Catalog, host: Host, serves: readonly string[] | null): string[] {
  // llama.cpp minds the name that a request gives only as a router, and then lists more than one model.
  if (serves === null || (host.engine === "llamacpp" && serves.length <= 1)) return [];
  const names = catalog.models.flatMap(({ served, shadow }) =>
    [...served, ...shadow].flatMap((place) => (place.host === host.id ? [place.as] : [])),
  );
  const listed = new Set(serves);
  return [...new Set(names)].filter((name) => !listed.has(name) && !isListedInFull(listed, host, name));
}

/** Google lists `models/gemini-…` in OpenAI's protocol, and takes the name without the prefix too. */
function isListedInFull(listed: ReadonlySet<string>, { engine }: Host, name: string): boolean {
  return engine === "openai" && listed.has(`models/${name}`);
}
