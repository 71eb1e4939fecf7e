import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WriteBehind } from "#src/limits/write-behind.ts";

/** Lets what is ready run, without letting any time pass. */
async function settled(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await Promise.resolve();
}

/** Storage that fails so often at first, with a clock that the test moves. */
function storage(failures = 0) {
  const waits: { ms: number; over: () => void }[] = [];
  vi.spyOn(scheduler, "wait").mockImplementation((ms) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    waits.push({ ms, over: resolve });
    return promise;
  });
  let [writes, syncs] = [0, 0];
  const syncing: (() => void)[] = [];
  let syncsAtOnce = true;
  const behind = new WriteBehind(
    () => {
      writes++;
      if (writes <= failures) throw new Error("disk");
    },
    () => {
      syncs++;
      return syncsAtOnce ? Promise.resolve() : new Promise((resolve) => syncing.push(resolve));
    },
  );
  return {
    behind,
    /** How long it waits for the next write, and lets that time pass. */
    async pass(): Promise<number | undefined> {
      const wait = waits.shift();
      wait?.over();
      await settled();
      return wait?.ms;
    },
    waiting: () => waits.length,
    writes: () => writes,
    syncs: () => syncs,
    /** From now on `sync` resolves when it is told to. */
    holdSync(): () => void {
      syncsAtOnce = false;
      return () => {
        for (const resolve of syncing) resolve();
      };
    },
  };
}

/** What became of a promise so far. */
function watched(work: Promise<void>): { state: string } {
  const seen = { state: "pending" };
  work.then(
    () => {
      seen.state = "done";
    },
    (cause: unknown) => {
      seen.state = String(cause);
    },
  );
  return seen;
}

beforeEach(() => {
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("changes", () => {
  test("that come together share one write, a few ms later", async () => {
    const { behind, pass, writes } = storage();
    for (let changes = 0; changes < 5; changes++) behind.note();
    expect(writes()).toBe(0);
    expect(await pass()).toBe(10);
    expect(writes()).toBe(1);
  });

  test("that come afterwards have a write of their own", async () => {
    const { behind, pass, writes } = storage();
    behind.note();
    await pass();
    behind.note();
    await pass();
    expect(writes()).toBe(2);
  });

  test("nothing changed, nothing is written", async () => {
    const { behind, writes, waiting } = storage();
    await behind.written();
    expect({ writes: writes(), waiting: waiting() }).toEqual({ writes: 0, waiting: 0 });
  });
});

describe("who waits", () => {
  test("hears when it is written, and not before", async () => {
    const { behind, pass } = storage();
    behind.note();
    const seen = watched(behind.written());
    await settled();
    expect(seen.state).toBe("pending");
    await pass();
    expect(seen.state).toBe("done");
  });

  test("hears when what was written is durable, and not before", async () => {
    const { behind, pass, holdSync } = storage();
    const synced = holdSync();
    behind.note();
    const seen = watched(behind.written());
    await pass();
    expect(seen.state).toBe("pending");
    synced();
    await settled();
    expect(seen.state).toBe("done");
  });

  test("waits for the storage together with all others", async () => {
    const { behind, pass, syncs } = storage();
    behind.note();
    const seen = Array.from({ length: 9 }, () => watched(behind.written()));
    await pass();
    seen.push(watched(behind.written()));
    await settled();
    expect({ syncs: syncs(), states: new Set(seen.map(({ state }) => state)) }).toEqual({
      syncs: 1,
      states: new Set(["done"]),
    });
  });

  test("hears of a failure, all who do", async () => {
    const { behind, pass } = storage(1);
    behind.note();
    const seen = [watched(behind.written()), watched(behind.written())];
    await pass();
    expect(seen.map(({ state }) => state)).toEqual(["Error: disk", "Error: disk"]);
  });
});

describe("a write that failed", () => {
  test("is tried again after a second, until it succeeds", async () => {
    const { behind, pass, writes, waiting } = storage(3);
    behind.note();
    const waitsMs = [await pass(), await pass(), await pass(), await pass()];
    expect({ waitsMs, writes: writes(), waiting: waiting() }).toEqual({
      waitsMs: [10, 1_000, 1_000, 1_000],
      writes: 4,
      waiting: 0,
    });
  });

  test("makes those wait who come meanwhile, and they hear of the next one", async () => {
    const { behind, pass } = storage(1);
    behind.note();
    await pass();
    behind.note();
    const seen = watched(behind.written());
    await settled();
    expect(seen.state).toBe("pending");
    await pass();
    expect(seen.state).toBe("done");
  });
});
