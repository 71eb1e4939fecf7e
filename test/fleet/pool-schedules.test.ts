import fc from "fast-check";
import { expect, test } from "vitest";
import { play, type Schedule } from "./schedule.ts";

const common = {
  seed: fc.nat(),
  capacities: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
  isolates: fc.integer({ min: 1, max: 4 }),
  requests: fc.integer({ min: 1, max: 60 }),
  withinMs: fc.constantFrom(1_000, 10_000, 40_000),
  serviceMs: fc.constantFrom(200, 1_500, 6_000),
  leavers: fc.constantFrom(0, 0.2),
};
const rough: fc.Arbitrary<Schedule> = fc.record({
  ...common,
  loss: fc.constantFrom(0, 0.05, 0.25),
  late: fc.constantFrom(0, 0.1, 0.5),
  // Two lost in a row take a slot given in advance to the end of the time that it is kept for.
  lossesInRow: fc.constant(1),
  deaths: fc.integer({ min: 0, max: 2 }),
});
const smooth: fc.Arbitrary<Schedule> = fc.record({
  ...common,
  loss: fc.constant(0),
  late: fc.constant(0),
  lossesInRow: fc.constant(0),
  deaths: fc.constant(0),
});

test("with reports late, lost and overtaken, with isolates that die: never more on a host than its slots, and none lost for ever", () => {
  fc.assert(
    fc.property(rough, (schedule) => {
      const { overruns, open, takeable, stillWaiting, doubles } = play(schedule);
      expect(overruns).toEqual([]);
      expect({ open, stillWaiting, doubles }).toEqual({ open: 0, stillWaiting: 0, doubles: 0 });
      expect(takeable).toEqual(schedule.capacities);
    }),
    { numRuns: 1_500 },
  );
});

test("on a network that loses nothing: who waits is served, refused at once, or leaves; and every slot is kept to", () => {
  fc.assert(
    fc.property(smooth, (schedule) => {
      const { overruns, open, takeable, ends, doubles } = play(schedule);
      expect({ overruns, open, doubles, takeable }).toEqual({
        overruns: [],
        open: 0,
        doubles: 0,
        takeable: schedule.capacities,
      });
      expect(Object.keys(ends)).toHaveLength(schedule.requests);
      expect(Object.values(ends)).not.toContain("lost");
      if (schedule.leavers === 0) expect(Object.values(ends)).not.toContain("left");
    }),
    { numRuns: 1_000 },
  );
});
