import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type KeyRing, type KeyRingWorld, keysFor, newKeyRing } from "#src/auth/key-ring.ts";
import { ISSUER, signingKey, type TestIssuer, testIssuer } from "#test/support/issuer.ts";
import { type TestKv, testKv } from "#test/support/token-world.ts";

const NOW_MS = 1_790_000_000_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DOWN = () => new Response("down", { status: 500 });
/** Never answers, and hears nothing of the deadline either. */
const HANGING = () => new Promise<Response>(() => undefined);

let issuer: TestIssuer;
let kv: TestKv;

beforeEach(async () => {
  issuer = await testIssuer(NOW_MS, ISSUER, "k1", "ES256");
  kv = testKv();
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.restoreAllMocks();
});

type Has = "known" | "unknown" | "undecided";

/** One isolate's ring, asked at times that the test says. */
function isolate(changed: Partial<KeyRingWorld> = {}) {
  const ring = newKeyRing(ISSUER);
  const deferred: Promise<void>[] = [];
  const ask = async (afterMs: number, kid = "k1", epoch = 0): Promise<Has> => {
    const world = {
      fetcher: issuer.fetcher,
      kv,
      now: () => NOW_MS + afterMs,
      random: () => 0.5,
      defer: (work: Promise<void>) => void deferred.push(work),
      epoch,
      ...changed,
    };
    const found = await keysFor(ring, kid, world);
    return found === null ? "undecided" : found.hasKid ? "known" : "unknown";
  };
  return { ring, ask, settled: () => Promise.all(deferred) };
}

/** Key sets asked for so far. */
function fetches(): number {
  return issuer.asked.filter((url) => url.endsWith("/jwks/")).length;
}

/** Whole questions so far: with the issuer down it ends with the first document. */
function questions(): number {
  return issuer.asked.filter((url) => url.endsWith("/openid-configuration")).length;
}

/** A `fetch` that hangs until its signal says otherwise, as the platform's does. */
const hanging: typeof fetch = (_input, init) =>
  new Promise((_resolve, reject) => {
    init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
  });

describe("how often the issuer is asked", () => {
  test("once by discovery, then not for seven minutes", async () => {
    const { ask, settled } = isolate({ random: () => 0 });
    for (const afterMs of [0, 1, MINUTE_MS, 7 * MINUTE_MS - 1]) expect(await ask(afterMs)).toBe("known");
    await settled();
    expect(issuer.asked).toEqual([`${ISSUER}.well-known/openid-configuration`, `${ISSUER}jwks/`]);
  });

  test.each([
    { random: 0, afterMs: 7 * MINUTE_MS },
    { random: 0.999_999, afterMs: 8.5 * MINUTE_MS },
  ])("then behind a request, which does not wait: after $afterMs ms", async ({ random, afterMs }) => {
    const { ask, settled } = isolate({ random: () => random });
    await ask(0);
    await ask(afterMs - 1);
    expect(questions()).toBe(1);
    issuer.answers.discovery = HANGING;
    expect(await ask(afterMs)).toBe("known");
    expect(questions()).toBe(2);
    await Promise.race([settled(), scheduler.wait(1)]);
  });

  test.each<{ name: string; misbehave: () => void }>([
    { name: "up", misbehave: () => undefined },
    {
      name: "down",
      misbehave: () => {
        issuer.answers.discovery = DOWN;
      },
    },
    {
      name: "refusing connections",
      misbehave: () => {
        issuer.answers.discovery = () => Promise.reject(new TypeError("network"));
      },
    },
  ])("10,000 made-up key ids in a minute, issuer $name: three times at most", async ({ misbehave }) => {
    for (const warm of [true, false]) {
      issuer.asked.length = 0;
      const { ask } = isolate();
      if (warm) await ask(-10 * MINUTE_MS);
      misbehave();
      for (let at = 0; at < 10_000; at++) expect(await ask(at * 6, `k-${at}`)).not.toBe("known");
      expect(questions()).toBeLessThanOrEqual(warm ? 4 : 3);
      expect(fetches()).toBeLessThanOrEqual(3);
      // Who is known goes on all the while.
      if (warm) expect(await ask(MINUTE_MS)).toBe("known");
    }
  });

  test("10,000 made-up key ids in a minute, issuer hanging: three times at most", async () => {
    let [clockMs, questionsAsked] = [NOW_MS, 0];
    // Time passes only while somebody waits for it, and for the deadline of a question.
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
      questionsAsked++;
      const deadline = new AbortController();
      void Promise.resolve().then(() => {
        clockMs += ms;
        deadline.abort(new DOMException("late", "TimeoutError"));
      });
      return deadline.signal;
    });
    const { ask } = isolate({ now: () => clockMs, fetcher: hanging });
    for (let at = 0; at < 10_000 && clockMs < NOW_MS + MINUTE_MS; at++) {
      expect(await ask(0, `k-${at}`)).toBe("undecided");
      clockMs += 6;
    }
    expect(questionsAsked).toBeGreaterThan(1);
    expect(questionsAsked).toBeLessThanOrEqual(3);
  });

  test.each([
    { when: "by its first token", newKidAfterMs: 30_000, seenAfterMs: 30_000 },
    { when: "30 s after the last question", newKidAfterMs: 1, seenAfterMs: 30_000 },
    { when: "also when minutes have passed", newKidAfterMs: 3 * MINUTE_MS, seenAfterMs: 3 * MINUTE_MS },
  ])("a new key is seen $when", async ({ newKidAfterMs, seenAfterMs }) => {
    const { ask } = isolate();
    await ask(0);
    const next = await signingKey("k2", "ES256");
    issuer.answers.keys = () => Response.json({ keys: [issuer.publicJwk, next.publicJwk] });
    if (newKidAfterMs < seenAfterMs) {
      expect(await ask(newKidAfterMs, "k2")).toBe("unknown");
      expect(await ask(seenAfterMs - 1, "k2")).toBe("unknown");
    }
    expect(await ask(seenAfterMs, "k2")).toBe("known");
  });
});

describe("200 cold requests at once", () => {
  /** All on one ring; how often the issuer was asked meanwhile, and what they were told. */
  async function burst(ring: KeyRing, worldOf: (at: number) => KeyRingWorld) {
    const told = await Promise.all(Array.from({ length: 200 }, (_, at) => keysFor(ring, "k1", worldOf(at))));
    return { known: told.filter((keys) => keys?.hasKid).length, asked: questions() };
  }

  /** A request's own world: its own `fetch`, its own work behind it. */
  function worldOf(changed: Partial<KeyRingWorld> = {}): KeyRingWorld {
    const defer = () => undefined;
    return { fetcher: issuer.fetcher, kv, now: Date.now, random: Math.random, defer, epoch: 0, ...changed };
  }

  test.each(["nothing", "an old copy", "a good copy"])("with %s in KV: two questions at most", async (inKv) => {
    if (inKv !== "nothing") {
      const age = inKv === "an old copy" ? 11 * MINUTE_MS : 1_000;
      await keysFor(newKeyRing(ISSUER), "k1", worldOf({ now: () => Date.now() - age }));
      expect(kv.stored.size).toBe(1);
      issuer.asked.length = 0;
    }
    const discovery = issuer.answers.discovery;
    issuer.answers.discovery = async () => {
      await scheduler.wait(20);
      return discovery();
    };
    const { known, asked } = await burst(newKeyRing(ISSUER), () => worldOf());
    expect(known).toBe(200);
    expect(asked).toBeLessThanOrEqual(inKv === "a good copy" ? 0 : 2);
  });

  test("of which the first is cancelled: another one takes over", async () => {
    let laterMs = 0;
    const now = () => Date.now() + laterMs;
    const dead: typeof fetch = (input, init) => {
      void issuer.fetcher(input, init);
      return HANGING();
    };
    // Nobody waits for the first: its request is gone, and so is what it left to the platform.
    const ring = newKeyRing(ISSUER);
    void keysFor(ring, "k1", worldOf({ fetcher: dead, now }));
    await vi.waitFor(() => expect(questions()).toBe(1));
    const waiting = burst(ring, () => worldOf({ now }));
    await scheduler.wait(30);
    expect(questions()).toBe(1);
    // Older now than any question can take.
    laterMs = 6_000;
    const { known, asked } = await waiting;
    expect({ known, asked }).toEqual({ known: 200, asked: 2 });
  });

  test("of which the first dies while it reads KV: the copy is read by the others", async () => {
    await keysFor(newKeyRing(ISSUER), "k1", worldOf());
    issuer.answers.discovery = DOWN;
    issuer.asked.length = 0;
    const ring = newKeyRing(ISSUER);
    void keysFor(ring, "k1", worldOf({ kv: { ...kv, get: HANGING as never } }));
    const { known, asked } = await burst(ring, () => worldOf());
    expect({ known, asked }).toEqual({ known: 200, asked: 0 });
  });

  test("with the issuer down all are told so, after two questions at most", async () => {
    issuer.answers.discovery = async () => {
      await scheduler.wait(20);
      return DOWN();
    };
    const { known, asked } = await burst(newKeyRing(ISSUER), () => worldOf());
    expect(known).toBe(0);
    expect(asked).toBeLessThanOrEqual(2);
  });
});

describe("with the issuer down", () => {
  test("known keys go on for an hour, whatever comes meanwhile", async () => {
    const { ask } = isolate();
    await ask(0);
    issuer.answers.discovery = DOWN;
    for (let afterMs = 0; afterMs <= HOUR_MS; afterMs += 7_000) {
      expect(await ask(afterMs, "made-up")).toBe("unknown");
      expect(await ask(afterMs)).toBe("known");
    }
  });

  test.each([
    { name: "for a day", afterMs: 24 * HOUR_MS - 1, has: "known" },
    { name: "and no longer", afterMs: 24 * HOUR_MS, has: "undecided" },
  ])("$name", async ({ afterMs, has }) => {
    const { ask } = isolate();
    await ask(0);
    issuer.answers.discovery = DOWN;
    expect(await ask(afterMs)).toBe(has);
    // Also while it is not asked again.
    expect(await ask(afterMs)).toBe(has);
  });

  test("a cold isolate cannot tell, and asks again after half a minute", async () => {
    const { ask } = isolate();
    const { discovery } = issuer.answers;
    issuer.answers.discovery = DOWN;
    expect(await ask(0)).toBe("undecided");
    issuer.answers.discovery = discovery;
    expect(await ask(29_999)).toBe("undecided");
    expect(await ask(30_000)).toBe("known");
  });
});

describe("the copy in KV", () => {
  test("makes a cold isolate warm without a question", async () => {
    await isolate().ask(0);
    issuer.asked.length = 0;
    expect(await isolate().ask(MINUTE_MS)).toBe("known");
    expect(issuer.asked).toEqual([]);
  });

  test("and with the issuer down, for as long as the keys may be used", async () => {
    await isolate().ask(0);
    issuer.answers.discovery = DOWN;
    expect(await isolate().ask(HOUR_MS)).toBe("known");
    expect(await isolate().ask(24 * HOUR_MS)).toBe("undecided");
  });

  test("carries the age of the keys along: a withdrawn one has ten minutes everywhere together", async () => {
    await isolate().ask(0);
    const next = await signingKey("k2", "ES256");
    issuer.answers.keys = () => Response.json({ keys: [next.publicJwk] });
    expect(await isolate().ask(5 * MINUTE_MS)).toBe("known");
    expect(await isolate().ask(9.5 * MINUTE_MS)).toBe("unknown");
  });

  test("is not used after a purge, also when the purge comes while it is read", async () => {
    await isolate().ask(0);
    issuer.answers.discovery = DOWN;
    expect(await isolate().ask(1, "k1", 1)).toBe("undecided");

    let deliver = (): void => undefined;
    const reading = new Promise<void>((resolve) => {
      deliver = resolve;
    });
    const get = async (name: string) => {
      await reading;
      return JSON.parse(kv.stored.get(name) ?? "null");
    };
    const { ask } = isolate({ kv: { ...kv, get: get as never } });
    const before = ask(1);
    const after = ask(2, "k1", 1);
    deliver();
    expect(await Promise.all([before, after])).toEqual(["undecided", "undecided"]);
  });

  test("of a later purge is not used by an isolate that has not heard of it", async () => {
    await isolate().ask(0, "k1", 3);
    issuer.answers.discovery = DOWN;
    expect(await isolate().ask(1, "k1", 2)).toBe("undecided");
    expect(await isolate().ask(1, "k1", 3)).toBe("known");
  });

  test("is asked for again after KV was down", async () => {
    await isolate().ask(0);
    issuer.answers.discovery = DOWN;
    const { ask } = isolate();
    kv.mode = "down";
    expect(await ask(1)).toBe("undecided");
    kv.mode = "up";
    expect(await ask(2)).toBe("known");
  });

  test("that cannot be written costs nobody anything", async () => {
    kv.mode = "down";
    const { ask, settled } = isolate();
    expect(await ask(0)).toBe("known");
    await settled();
  });

  test.each<{ name: string; stored: (good: Record<string, unknown>) => unknown }>([
    { name: "of another version", stored: (good) => ({ ...good, v: 2 }) },
    { name: "of another shape", stored: () => "keys" },
    { name: "with too many keys", stored: (good) => ({ ...good, keys: Array(33).fill({}) }) },
    {
      name: "with a key that may not be used",
      stored: (good) => ({ ...good, keys: [{ ...issuer.publicJwk, d: "AQ" }] }),
    },
  ])("$name is none", async ({ stored }) => {
    await isolate().ask(0);
    const name = `jwks:${ISSUER}`;
    kv.stored.set(name, JSON.stringify(stored(JSON.parse(kv.stored.get(name) ?? ""))));
    issuer.answers.discovery = DOWN;
    expect(await isolate().ask(1)).not.toBe("known");
  });

  test("holds public keys only", async () => {
    issuer.answers.keys = () =>
      Response.json({ keys: [issuer.publicJwk, { ...issuer.publicJwk, kid: "p", d: "c2Vj" }] });
    await isolate().ask(0);
    expect([...kv.stored.values()].join()).not.toContain("c2Vj");
  });
});

describe("a key that the issuer withdraws", () => {
  async function withdrawn() {
    const isolated = isolate();
    await isolated.ask(0);
    const next = await signingKey("k2", "ES256");
    issuer.answers.keys = () => Response.json({ keys: [next.publicJwk] });
    return isolated;
  }

  test("is refused within ten minutes without a purge", async () => {
    const { ask } = await withdrawn();
    expect(await ask(MINUTE_MS)).toBe("known");
    expect(await ask(10 * MINUTE_MS)).toBe("unknown");
  });

  test("also where the question just before failed", async () => {
    const { ask } = await withdrawn();
    const { discovery } = issuer.answers;
    issuer.answers.discovery = DOWN;
    expect(await ask(9.5 * MINUTE_MS - 1)).toBe("known");
    issuer.answers.discovery = discovery;
    expect(await ask(10 * MINUTE_MS)).toBe("unknown");
  });

  test("is refused at once after a purge", async () => {
    const { ask } = await withdrawn();
    expect(await ask(1)).toBe("known");
    expect(await ask(2, "k1", 1)).toBe("unknown");
    expect(await ask(2, "k2", 1)).toBe("known");
  });

  test("is not brought back by a request that had not heard of the purge", async () => {
    const { ask } = await withdrawn();
    expect(await ask(2, "k1", 1)).toBe("unknown");
    expect(await ask(3, "k1", 0)).toBe("unknown");
    expect(questions()).toBe(2);
  });

  test("is not brought back by an answer that was on its way when the purge came", async () => {
    const { ask } = isolate();
    const old = Response.json({ keys: [issuer.publicJwk] });
    const next = await signingKey("k2", "ES256");
    let answerOld = (_: Response): void => undefined;
    issuer.answers.keys = () =>
      new Promise((resolve) => {
        answerOld = resolve;
      });
    const before = ask(0);
    await vi.waitFor(() => expect(fetches()).toBe(1));
    issuer.answers.keys = async () => {
      await scheduler.wait(30);
      return Response.json({ keys: [next.publicJwk] });
    };
    // Two at once: the late answer must not take away the mark of the question that is under way.
    const after = [ask(1, "k2", 1), scheduler.wait(10).then(() => ask(1, "k2", 1))];
    await vi.waitFor(() => expect(fetches()).toBe(2));
    answerOld(old);
    expect(await Promise.all(after)).toEqual(["known", "known"]);
    expect(await before).not.toBe("known");
    expect(await ask(2, "k1", 1)).toBe("unknown");
  });
});

describe("an issuer that misbehaves is one that is down", () => {
  const whole = (text: string, init?: ResponseInit) => () => new Response(text, init);
  test.each<{ name: string; discovery?: () => Response; keys?: () => Response }>([
    { name: "500", keys: DOWN },
    { name: "204", discovery: () => new Response(null, { status: 204 }) },
    { name: "HTML with 200", keys: whole("<html>Sign in</html>", { headers: { "content-type": "text/html" } }) },
    { name: "half a document", keys: whole('{"keys":[') },
    { name: "nothing", keys: whole("") },
    { name: "a redirect", keys: () => Response.redirect("https://evil.example.test/jwks", 302) },
    { name: "a redirect to itself", keys: () => Response.redirect(`${ISSUER}jwks/`, 301) },
    { name: "a redirect of the discovery", discovery: () => Response.redirect("https://evil.example.test/", 307) },
    { name: "no jwks_uri", discovery: () => Response.json({ issuer: ISSUER }) },
    {
      name: "a document of another issuer",
      discovery: () => Response.json({ issuer: "https://evil.example.test/", jwks_uri: `${ISSUER}jwks/` }),
    },
    { name: "a jwks_uri that is no URL", discovery: () => Response.json({ jwks_uri: "jwks" }) },
    { name: "a jwks_uri of another scheme", discovery: () => Response.json({ jwks_uri: "file:///etc/passwd" }) },
    {
      name: "a jwks_uri without TLS",
      discovery: () => Response.json({ jwks_uri: `${ISSUER}jwks/`.replace("https:", "http:") }),
    },
    { name: "a list for a set", keys: () => Response.json([]) },
    { name: "no keys", keys: () => Response.json({}) },
    { name: "more keys than anyone has", keys: () => Response.json({ keys: Array(33).fill({ kty: "RSA" }) }) },
    { name: "a connection that breaks", keys: () => Response.error() },
  ])("$name", async ({ discovery, keys }) => {
    const warm = isolate();
    await warm.ask(0);
    if (discovery !== undefined) issuer.answers.discovery = discovery;
    if (keys !== undefined) issuer.answers.keys = keys;
    expect(await isolate({ kv: testKv() }).ask(0)).toBe("undecided");
    expect(await warm.ask(HOUR_MS)).toBe("known");
    expect(issuer.asked.filter((url) => !url.startsWith(ISSUER))).toEqual([]);
    // Discovery and keys, of three questions: nothing was followed or asked twice.
    expect(issuer.asked.length).toBeLessThanOrEqual(6);
  });

  test("an empty set is an answer: it has no keys", async () => {
    issuer.answers.keys = () => Response.json({ keys: [] });
    expect(await isolate().ask(0)).toBe("unknown");
  });

  test("a fetch that hangs, before or within the document, is given up by one deadline of 3 s", async () => {
    const deadline = new AbortController();
    const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(deadline.signal);
    const asked: (AbortSignal | null | undefined)[] = [];
    const fetcher: typeof fetch = (input, init) => {
      asked.push(init?.signal);
      if (asked.length === 1) return issuer.fetcher(input, {});
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new Uint8Array([0x7b]));
          init?.signal?.addEventListener("abort", () => controller.error(init.signal?.reason));
        },
      });
      return Promise.resolve(new Response(body));
    };
    const told = isolate({ fetcher }).ask(0);
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    deadline.abort(new DOMException("late", "TimeoutError"));
    expect(await told).toBe("undecided");
    expect(timeout).toHaveBeenCalledExactlyOnceWith(3_000);
    expect(asked).toEqual([deadline.signal, deadline.signal]);
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
    expect(await isolate().ask(0)).toBe("undecided");
    expect(sentBytes).toBeLessThan(128 * 1024);
    expect(cancelled).toBe(true);
  });
});
