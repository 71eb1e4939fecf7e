import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WriteBehind } from "#src/limits/write-behind.ts";

const START_MS = 1_790_000_000_000;

/** Storage that fails so often at first. Time is the test's own. */
function storage(failures = 0, areMany = true) {
  const writtenAtMs: number[] = [];
  let syncs = 0;
  const syncing: (() => void)[] = [];
  let syncsAtOnce = true;
  const behind = new WriteBehind(
    () => {
      writtenAtMs.push(Date.now() - START_MS);
      if (writtenAtMs.length <= failures) throw new Error("disk");
    },
    () => {
      syncs++;
      return syncsAtOnce ? Promise.resolve() : new Promise((resolve) => syncing.push(resolve));
    },
    Date.now,
    () => areMany,
  );
  return {
    behind,
    writtenAtMs,
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

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

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
  vi.useFakeTimers({ now: START_MS });
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("changes", () => {
  test("that nobody hurries share one write, a quarter of a second after the first", async () => {
    const { behind, writtenAtMs } = storage();
    for (let changes = 0; changes < 5; changes++) {
      behind.note();
      await pass(49);
    }
    expect(writtenAtMs).toEqual([]);
    await pass(1_000);
    expect(writtenAtMs).toEqual([250]);
  });

  test("that somebody hurries are written at once, and with them what could have waited", async () => {
    const { behind, writtenAtMs } = storage();
    behind.note();
    const patient = watched(behind.written());
    await pass(20);
    behind.note();
    watched(behind.soon());
    expect(writtenAtMs).toEqual([20]);
    await pass(1_000);
    expect({ writtenAtMs, patient: patient.state }).toEqual({ writtenAtMs: [20], patient: "done" });
  });

  test("that come in a hurry one after the other are written 10 ms apart", async () => {
    const { behind, writtenAtMs } = storage();
    for (let changes = 0; changes < 25; changes++) {
      behind.note();
      watched(behind.soon());
      await pass(1);
    }
    await pass(1_000);
    expect(writtenAtMs).toEqual([0, 10, 20, 30]);
  });

  test("are written each at once where few come", async () => {
    const { behind, writtenAtMs } = storage(0, false);
    for (let turn = 0; turn < 3; turn++) {
      behind.note();
      void behind.soon();
      await pass(3);
    }
    expect(writtenAtMs).toEqual([0, 3, 6]);
  });

  test("are written no later because the clock stepped back", async () => {
    const { behind, writtenAtMs } = storage();
    behind.note();
    watched(behind.soon());
    vi.setSystemTime(START_MS - 3_600_000);
    behind.note();
    const seen = watched(behind.soon());
    await pass(10);
    expect({ writes: writtenAtMs.length, state: seen.state }).toEqual({ writes: 2, state: "done" });
  });

  test("are written within as long as they were given", async () => {
    const { behind, writtenAtMs } = storage();
    behind.note(1_000);
    await pass(600);
    behind.note();
    await pass(1_000);
    behind.note(1_000);
    await pass(1_000);
    expect(writtenAtMs).toEqual([850, 2_600]);
  });

  test("nothing changed, nothing is written", async () => {
    const { behind, writtenAtMs } = storage();
    await Promise.all([behind.written(), behind.soon()]);
    await pass(1_000);
    expect(writtenAtMs).toEqual([]);
  });
});

describe("who waits", () => {
  test("hears when it is written, and not before", async () => {
    const { behind } = storage();
    behind.note();
    const seen = watched(behind.written());
    await pass(249);
    expect(seen.state).toBe("pending");
    await pass(1);
    expect(seen.state).toBe("done");
  });

  test.each(["written", "soon"] as const)("(%s) hears when it is durable, and not before", async (way) => {
    const { behind, writtenAtMs, holdSync } = storage();
    const synced = holdSync();
    behind.note();
    const seen = watched(behind[way]());
    await pass(1_000);
    expect({ writes: writtenAtMs.length, state: seen.state }).toEqual({ writes: 1, state: "pending" });
    // Also who asks while it is on its way to the disk.
    const late = watched(behind[way]());
    synced();
    await pass(0);
    expect([seen.state, late.state]).toEqual(["done", "done"]);
  });

  test("waits for the storage together with all others", async () => {
    const { behind, syncs } = storage();
    behind.note();
    const seen = Array.from({ length: 9 }, () => watched(behind.written()));
    seen.push(watched(behind.soon()));
    seen.push(watched(behind.written()));
    await pass(0);
    expect({ syncs: syncs(), states: new Set(seen.map(({ state }) => state)) }).toEqual({
      syncs: 1,
      states: new Set(["done"]),
    });
  });

  test("hears of a failure, all who do", async () => {
    const { behind } = storage(1);
    behind.note();
    const seen = [watched(behind.written()), watched(behind.soon())];
    await pass(0);
    expect(seen.map(({ state }) => state)).toEqual(["Error: disk", "Error: disk"]);
  });
});

describe("a write that failed", () => {
  test("is tried again after a second, until it succeeds", async () => {
    const { behind, writtenAtMs } = storage(3);
    behind.note();
    watched(behind.soon());
    await pass(10_000);
    expect(writtenAtMs).toEqual([0, 1_000, 2_000, 3_000]);
  });

  test("makes those wait who come meanwhile, in a hurry or not, and they hear of the next one", async () => {
    const { behind, writtenAtMs } = storage(1);
    behind.note();
    watched(behind.soon());
    await pass(100);
    behind.note();
    const seen = [watched(behind.written()), watched(behind.soon())];
    await pass(899);
    expect(seen.map(({ state }) => state)).toEqual(["pending", "pending"]);
    await pass(1);
    expect({ writtenAtMs, states: seen.map(({ state }) => state) }).toEqual({
      writtenAtMs: [0, 1_000],
      states: ["done", "done"],
    });
  });
});
