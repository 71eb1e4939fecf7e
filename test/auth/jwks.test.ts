import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type KeyMemory, keysOf, newKeyMemory } from "#src/auth/jwks.ts";
import { ISSUER, type TestIssuer, testIssuer } from "#test/support/issuer.ts";

const NOW_MS = 1_790_000_000_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DOWN = () => new Response("down", { status: 500 });

let issuer: TestIssuer;
let memory: KeyMemory;

beforeEach(async () => {
  issuer = await testIssuer(NOW_MS);
  memory = newKeyMemory();
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Whether there are keys, asked so long after the start. */
async function has(afterMs: number, wanted: "known" | "unknown-kid" = "known"): Promise<boolean> {
  return (await keysOf(ISSUER, memory, wanted, issuer.fetcher, NOW_MS + afterMs)) !== null;
}

/** Key sets fetched so far. */
function fetches(): number {
  return issuer.asked.filter((url) => url.endsWith("/jwks/")).length;
}

describe("how often the issuer is asked", () => {
  test("once by discovery, then not for ten minutes", async () => {
    for (const afterMs of [0, 1, MINUTE_MS, 10 * MINUTE_MS - 1]) expect(await has(afterMs)).toBe(true);
    expect(issuer.asked).toEqual([
      "https://id.example.test/application/o/causeway/.well-known/openid-configuration",
      "https://id.example.test/application/o/causeway/jwks/",
    ]);
    await has(10 * MINUTE_MS);
    expect(fetches()).toBe(2);
  });

  test("10,000 unknown key ids in a minute: twice more at most, with the issuer well or down", async () => {
    await has(0);
    for (let at = 0; at < 5_000; at++) await has(MINUTE_MS + at * 6, "unknown-kid");
    expect(fetches()).toBe(2);
    issuer.answers.keys = DOWN;
    for (let at = 0; at < 5_000; at++) await has(2 * MINUTE_MS + at * 6, "unknown-kid");
    expect(fetches()).toBe(3);
  });

  test("a new key is seen 30 s after the last question at the latest", async () => {
    await has(0);
    expect(fetches()).toBe(1);
    await has(29_999, "unknown-kid");
    expect(fetches()).toBe(1);
    await has(30_000, "unknown-kid");
    expect(fetches()).toBe(2);
  });
});

describe("with the issuer down", () => {
  test.each([
    { name: "keys that are known go on for a day", firstMs: 0, thenMs: 24 * HOUR_MS - 1, served: true },
    { name: "and no longer", firstMs: 0, thenMs: 24 * HOUR_MS, served: false },
  ])("$name", async ({ firstMs, thenMs, served }) => {
    expect(await has(firstMs)).toBe(true);
    issuer.answers.discovery = DOWN;
    expect(await has(thenMs)).toBe(served);
    // Also while it is not asked again.
    expect(await has(thenMs + 1)).toBe(served && thenMs + 1 < 24 * HOUR_MS);
  });

  test("a cold isolate has none, and asks again", async () => {
    issuer.answers.discovery = DOWN;
    expect(await has(0)).toBe(false);
    issuer.answers.discovery = () => Response.json({ jwks_uri: `${ISSUER}jwks/` });
    expect(await has(1)).toBe(true);
  });
});

describe("an issuer that misbehaves is one that is down", () => {
  const whole = (text: string, init?: ResponseInit) => () => new Response(text, init);
  test.each<{ name: string; discovery?: () => Response; keys?: () => Response }>([
    { name: "500", keys: DOWN },
    { name: "204", discovery: () => new Response(null, { status: 204 }) },
    { name: "HTML with 200", keys: whole("<html>Sign in</html>", { headers: { "content-type": "text/html" } }) },
    { name: "half a document", keys: whole('{"keys":[') },
    { name: "a redirect", keys: () => Response.redirect("https://evil.example.test/jwks", 302) },
    { name: "no jwks_uri", discovery: () => Response.json({ issuer: ISSUER }) },
    { name: "a jwks_uri that is no URL", discovery: () => Response.json({ jwks_uri: "jwks" }) },
    { name: "a jwks_uri of another scheme", discovery: () => Response.json({ jwks_uri: "file:///etc/passwd" }) },
    { name: "a list for a set", keys: () => Response.json([]) },
    { name: "no keys", keys: () => Response.json({}) },
    { name: "more keys than anyone has", keys: () => Response.json({ keys: Array(33).fill({ kty: "RSA" }) }) },
    { name: "a connection that breaks", keys: () => Response.error() },
  ])("$name", async ({ discovery, keys }) => {
    if (discovery !== undefined) issuer.answers.discovery = discovery;
    if (keys !== undefined) issuer.answers.keys = keys;
    expect(await has(0)).toBe(false);
    expect(issuer.asked.filter((url) => !url.startsWith(ISSUER))).toEqual([]);
  });

  test("a fetch that rejects", async () => {
    issuer.answers.keys = () => Promise.reject(new TypeError("network"));
    expect(await has(0)).toBe(false);
  });

  test("a fetch that hangs is given up after 3 s", async () => {
    const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(AbortSignal.abort(new Error("timed out")));
    expect(await has(0)).toBe(false);
    expect(timeout).toHaveBeenCalledWith(3_000);
  });

  test("10 MB are not read", async () => {
    const chunk = new Uint8Array(16 * 1024).fill(0x20);
    let sentBytes = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sentBytes += chunk.byteLength;
        controller.enqueue(chunk);
        if (sentBytes >= 10 * 1024 * 1024) controller.close();
      },
      cancel() {
        cancelled = true;
      },
    });
    issuer.answers.keys = () => new Response(endless);
    expect(await has(0)).toBe(false);
    expect(sentBytes).toBeLessThan(128 * 1024);
    expect(cancelled).toBe(true);
  });
});

describe("keys that may not verify anything", () => {
  const oct = { kty: "oct", k: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", kid: "k1", alg: "HS256" };
  test.each<{ name: string; keys: (good: TestIssuer) => object[]; usable: boolean }>([
    { name: "a public signing key may", keys: ({ publicJwk }) => [publicJwk], usable: true },
    { name: "a key without `use` may", keys: ({ publicJwk: { use: _, ...jwk } }) => [jwk], usable: true },
    { name: "a symmetric one", keys: () => [oct], usable: false },
    { name: "one that is private", keys: ({ publicJwk }) => [{ ...publicJwk, d: "AQAB" }], usable: false },
    { name: "one for encryption", keys: ({ publicJwk }) => [{ ...publicJwk, use: "enc" }], usable: false },
  ])("$name", async ({ keys, usable }) => {
    issuer.answers.keys = () => Response.json({ keys: keys(issuer) });
    const find = await keysOf(ISSUER, memory, "known", issuer.fetcher, NOW_MS);
    if (find === null) throw new Error("no key set");
    const found = Promise.resolve(find({ alg: "RS256", kid: "k1" }, { payload: "", signature: "" }));
    expect(
      await found.then(
        () => true,
        () => false,
      ),
    ).toBe(usable);
  });
});
