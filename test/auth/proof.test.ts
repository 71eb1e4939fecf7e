import { beforeEach, describe, expect, test, vi } from "vitest";
import { authenticate, type Door } from "#src/auth/authenticate.ts";
import { holds, type Proof } from "#src/auth/proof.ts";
import { trustedIssuer } from "#src/catalog/issuer.ts";
import { AUDIENCE, ISSUER, type TestIssuer, testIssuer } from "#test/support/issuer.ts";
import { type TestWorld, tokenWorld } from "#test/support/token-world.ts";

const NOW_MS = 1_790_000_000_000;
const NOW_S = NOW_MS / 1000;

let issuer: TestIssuer;
let world: TestWorld;
beforeEach(async () => {
  vi.spyOn(console, "error").mockReturnValue();
  issuer = await testIssuer(NOW_MS);
  world = tokenWorld(NOW_MS, issuer);
});

async function proofOf(changed: Record<string, unknown> = {}): Promise<Proof> {
  const door: Door = {
    tokens: world,
    catalog: { roles: {}, tiers: {} },
    secret: "s",
    keyRecords: new Map(),
    kv: world.kv,
  };
  const headers = { authorization: `Bearer ${await issuer.sign(changed)}` };
  return (await authenticate(new Request("http://x/", { headers }), door)).proof;
}

describe("how long a token is believed", () => {
  test.each<{ name: string; changed: Record<string, unknown>; untilS: number }>([
    { name: "until it expires", changed: {}, untilS: NOW_S + 600 },
    // The tolerance is for clocks that differ: a socket ends by this one's.
    { name: "also when it is taken a little late", changed: { exp: NOW_S - 10 }, untilS: NOW_S - 10 },
    {
      name: "until it is as old as its issuer's may be",
      changed: { iat: NOW_S - 80_000, exp: NOW_S + 90_000 },
      untilS: NOW_S + 6_400,
    },
  ])("$name", async ({ changed, untilS }) => {
    expect(await proofOf(changed)).toEqual({ untilMs: untilS * 1000, signedBy: { issuer: ISSUER, kid: "k1" } });
  });
});

describe("a proof holds", () => {
  const withdraw = (): void => {
    issuer.answers.keys = () => Response.json({ keys: [{ ...issuer.publicJwk, kid: "k2" }] });
  };
  test.each<{ name: string; meanwhile: () => void; is: boolean }>([
    { name: "as long as nothing happens", meanwhile: () => undefined, is: true },
    {
      name: "just before its end",
      meanwhile: () => {
        world.nowMs = NOW_MS + 599_999;
      },
      is: true,
    },
    {
      name: "at its end",
      meanwhile: () => {
        world.nowMs = NOW_MS + 600_000;
      },
      is: false,
    },
    { name: "while the key that was withdrawn is not purged", meanwhile: withdraw, is: true },
    {
      name: "when it is",
      meanwhile: () => {
        withdraw();
        world.keysEpoch = 1;
      },
      is: false,
    },
    {
      name: "when nobody can tell, because the issuer is down",
      meanwhile: () => {
        issuer.answers.keys = () => new Response("gone", { status: 500 });
        world.keysEpoch = 1;
      },
      is: true,
    },
  ])("$name: $is", async ({ meanwhile, is }) => {
    const proof = await proofOf();
    meanwhile();
    expect(await holds(proof, world)).toBe(is);
  });

  test("of an issuer only while that one is trusted", async () => {
    const proof = await proofOf();
    const others = { ...world, issuers: [trustedIssuer("https://other.test", AUDIENCE)] };
    expect(await holds(proof, others)).toBe(false);
  });

  test.each([
    { untilMs: NOW_MS + 1, is: true },
    { untilMs: NOW_MS, is: false },
  ])("of an API key until $untilMs: $is", async ({ untilMs, is }) => {
    expect(await holds({ untilMs, signedBy: null }, world)).toBe(is);
  });
});
