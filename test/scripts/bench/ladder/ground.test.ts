/** The rungs on the real ground: the production bundle with their routes in workerd, bare workerd, the bench's engine. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MODEL } from "#scripts/bench/contestants/contestant.ts";
import { directiveText } from "#scripts/bench/engine/directive.ts";
import { climb } from "#scripts/bench/ladder/climb.ts";
import { type Ground, openGround } from "#scripts/bench/ladder/ground.ts";
import { LADDERS } from "#scripts/bench/ladder/ladders.ts";
import { BARE, pathOf, RUNGS, STREAM_RUNGS, WHOLE } from "#scripts/bench/ladder/rungs.ts";

const TOKENS = 3;

let folder: string;
let ground: Ground;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "causeway-test-"));
  ground = await openGround({ folder, kept: folder, print: () => {}, signal: new AbortController().signal });
});
afterAll(async () => {
  await ground?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function asked(name: string, { stream = false, headers = ground.gateway.headers[0] } = {}): Promise<Response> {
  const { url } = name === BARE ? ground.bare : { url: new URL(pathOf(name), ground.gateway.url) };
  const content = `How are you? ${directiveText({ tokens: TOKENS, firstMs: 0, gapMs: 0 })}`;
  const body = JSON.stringify({ model: MODEL, stream, messages: [{ role: "user", content }] });
  return fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
}

/** What was said, but for the moments at which tokens were sent. */
async function saidBy(response: Response): Promise<string> {
  return (await response.text()).replaceAll(/@\d+/g, "@");
}

const names = (rungs: readonly { readonly name: string }[]): string[] => rungs.map(({ name }) => name);

describe("every rung", () => {
  it.each(names(RUNGS))("%s answers as the engine does", async (name) => {
    const response = await asked(name);
    expect([response.status, await saidBy(response)]).toEqual([200, await saidBy(await asked(BARE))]);
  });

  it.each(names(STREAM_RUNGS))("%s streams as the engine does", async (name) => {
    const response = await asked(name, { stream: true });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    expect(await saidBy(response)).toBe(await saidBy(await asked(BARE, { stream: true })));
  });

  it("takes the stages below it: an id, a caller who is known, a lease, a host", async () => {
    const nobody = { authorization: "Bearer none" };
    const seen = await Promise.all(
      names(RUNGS).map(async (name) => {
        const { headers } = await asked(name);
        const { status } = await asked(name, { headers: nobody });
        return [
          name,
          headers.has("x-request-id") ? "id" : "",
          status === 401 ? "known" : "",
          headers.get("ratelimit") ? "lease" : "",
          headers.has("x-causeway-host") ? "host" : "",
        ].filter((said) => said !== "");
      }),
    );
    expect(seen).toEqual([
      ["hono"],
      ["conduct", "id"],
      ["auth", "id", "known"],
      ["parse", "id", "known"],
      ["cache", "id", "known"],
      ["admit", "id", "known", "lease"],
      ["take", "id", "known", "lease"],
      ["ask", "id", "known", "lease"],
      [WHOLE, "id", "known", "lease", "host"],
    ]);
  });
});

it("is measured, rung by rung", async () => {
  const [requests] = LADDERS;
  const pace = { rounds: 1, forMs: 50, warmUpMs: 50 };
  const [round] = await climb(requests, ground, pace, { say: () => {}, signal: new AbortController().signal });
  expect([...(round?.costs.keys() ?? [])]).toEqual([...names(RUNGS), BARE]);
  for (const us of round?.costs.values() ?? []) expect(us).toBeGreaterThan(1);
});
