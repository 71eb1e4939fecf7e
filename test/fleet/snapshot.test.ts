import { describe, expect, test, vi } from "vitest";
import type { FleetSnapshot } from "#src/fleet/fleet-words.ts";
import { currentSnapshot, newSnapshotMemory } from "#src/fleet/snapshot.ts";

const NOTHING: FleetSnapshot = {
  view: { hosts: {}, pairs: {} },
  spare: {},
  awaited: [],
  nextProbeAtMs: 0,
  keysEpoch: 0,
};
const snapshotOf = (nextProbeAtMs: number): FleetSnapshot => ({ ...NOTHING, nextProbeAtMs });

/** An isolate, and a fleet that answers with the number of the question, or not at all. */
function isolate() {
  const memory = newSnapshotMemory();
  const seen = { asked: 0, isDown: false, isHung: false };
  const deferred: Promise<void>[] = [];
  const ask = async (): Promise<FleetSnapshot> => {
    seen.asked++;
    if (seen.isHung) return new Promise(() => undefined);
    if (seen.isDown) throw new Error("Durable Object reset");
    return snapshotOf(seen.asked);
  };
  const at = async (nowMs: number): Promise<number> => {
    const { nextProbeAtMs } = await currentSnapshot(memory, ask, nowMs, (work) => deferred.push(work));
    return nextProbeAtMs;
  };
  return { at, seen, settled: () => Promise.all(deferred), memory, ask };
}

describe("a fleet that answers", () => {
  test("a cold isolate waits for its first copy", async () => {
    const { at, seen } = isolate();
    expect(await at(0)).toBe(1);
    expect(seen.asked).toBe(1);
  });

  test("a copy younger than 2 s is enough", async () => {
    const { at, seen } = isolate();
    await at(0);
    expect([await at(1), await at(1_999)]).toEqual([1, 1]);
    expect(seen.asked).toBe(1);
  });

  test("an older one is served at once, and refreshed behind, by one request", async () => {
    const { at, seen, settled } = isolate();
    await at(0);
    seen.isHung = true;
    expect(await Promise.all([at(2_000), at(2_000), at(2_001)])).toEqual([1, 1, 1]);
    expect(seen.asked).toBe(2);
    seen.isHung = false;
    expect(await at(4_000)).toBe(1);
    await Promise.race([settled(), scheduler.wait(5)]);
    expect(await at(4_001)).toBe(3);
  });
});

describe("a fleet that does not", () => {
  test("leaves the last copy in force, and is asked again two seconds later", async () => {
    const { at, seen, settled } = isolate();
    await at(0);
    seen.isDown = true;
    expect(await at(10_000)).toBe(1);
    await settled();
    expect([await at(10_001), await at(600_000)]).toEqual([1, 1]);
    await settled();
    expect(seen.asked).toBe(3);
    seen.isDown = false;
    await at(602_000);
    await settled();
    expect(await at(602_001)).toBe(4);
  });

  test("leaves a cold isolate without any: every host counts as unknown", async () => {
    const { memory, ask, seen } = isolate();
    seen.isDown = true;
    expect(await currentSnapshot(memory, ask, 0, () => undefined)).toEqual(NOTHING);
  });

  test("that hangs holds a cold isolate's first request for a second, not longer", async () => {
    const { memory, ask, seen } = isolate();
    seen.isHung = true;
    expect(await currentSnapshot(memory, ask, 0, () => undefined)).toEqual(NOTHING);
  });
});

describe("a purge of keys is heard within 5 s", () => {
  const purged = (keysEpoch: number): FleetSnapshot => ({ ...NOTHING, keysEpoch });

  /** A fleet whose answers come when the test says so. */
  function slowFleet() {
    const answers: ((snapshot: FleetSnapshot) => void)[] = [];
    const ask = () => new Promise<FleetSnapshot>((resolve) => answers.push(resolve));
    const memory = newSnapshotMemory();
    const epochAt = async (nowMs: number) => (await currentSnapshot(memory, ask, nowMs, () => undefined)).keysEpoch;
    return { answers, epochAt };
  }

  test("also by the second of two requests that wake an isolate together", async () => {
    const { answers, epochAt } = slowFleet();
    const cold = epochAt(0);
    answers[0]?.(purged(1));
    expect(await cold).toBe(1);
    const woken = [epochAt(3_600_000), epochAt(3_600_000), epochAt(3_600_001)];
    await scheduler.wait(20);
    answers[1]?.(purged(2));
    expect(await Promise.all(woken)).toEqual([2, 2, 2]);
    expect(answers).toHaveLength(2);
  });

  test("while requests flow, after 4 s at the latest", async () => {
    const { answers, epochAt } = slowFleet();
    const cold = epochAt(0);
    answers[0]?.(purged(0));
    await cold;
    // The purge happens now; the copy is just young enough to be served once more, and renewed behind it.
    expect(await epochAt(3_999)).toBe(0);
    answers[1]?.(purged(1));
    await scheduler.wait(0);
    expect(await epochAt(4_000)).toBe(1);
  });

  test("an answer that comes after a later one does not bring the past back", async () => {
    const { answers, epochAt } = slowFleet();
    const cold = epochAt(0);
    answers[0]?.(purged(0));
    await cold;
    await epochAt(2_000);
    await epochAt(4_000);
    answers[2]?.(purged(1));
    await scheduler.wait(0);
    answers[1]?.(purged(0));
    await scheduler.wait(0);
    expect(await epochAt(4_001)).toBe(1);
  });
});

test("a fleet that hangs holds nobody while requests flow", async () => {
  const { at, seen } = isolate();
  await at(0);
  seen.isHung = true;
  const waited = vi.spyOn(scheduler, "wait");
  for (let nowMs = 1_000; nowMs <= 20_000; nowMs += 1_000) expect(await at(nowMs)).toBe(1);
  expect(waited).not.toHaveBeenCalled();
  waited.mockRestore();
});
