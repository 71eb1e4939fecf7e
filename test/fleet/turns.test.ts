import { describe, expect, test } from "vitest";
import { Turns } from "#src/fleet/turns.ts";

describe("who waits inside the object", () => {
  test("has its turn, with its host", async () => {
    const turns = new Turns();
    const [one, other] = [turns.wait("1", 60_000), turns.wait("2", 60_000)];
    turns.call("2", "b");
    turns.call("1", "a");
    expect(await Promise.all([one, other])).toEqual(["a", "b"]);
  });

  test("is told when it has left", async () => {
    const turns = new Turns();
    const one = turns.wait("1", 60_000);
    turns.call("1", null);
    expect(await one).toBeNull();
  });

  test("is told when its turn does not come in time", async () => {
    const turns = new Turns();
    expect(await turns.wait("1", 5)).toBeNull();
    // Nobody is there any more to hear it: nothing is thrown, and who asks again waits anew.
    turns.call("1", "a");
    const again = turns.wait("1", 60_000);
    turns.call("1", "b");
    expect(await again).toBe("b");
  });

  test("that asks anew has lost its earlier question, and only that", async () => {
    const turns = new Turns();
    const earlier = turns.wait("1", 60_000);
    const later = turns.wait("1", 60_000);
    expect(await earlier).toBeNull();
    turns.call("1", "a");
    expect(await later).toBe("a");
  });

  test("hears of no other's turn", async () => {
    const turns = new Turns();
    const one = turns.wait("1", 5);
    turns.call("2", "a");
    expect(await one).toBeNull();
  });
});
