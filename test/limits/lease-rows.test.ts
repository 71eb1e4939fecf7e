import { expect, test } from "vitest";
import { leaseOf, rowOf } from "#src/limits/lease-rows.ts";
import { eventWith } from "#test/support/events.ts";

const LEASE = {
  id: eventWith().id,
  slots: ["concurrency"],
  charge: { limits: [], cost: { requests: 1, tokens: 9, micros: 3 }, atMs: 5 },
  credits: [],
  event: eventWith(),
  openedAtMs: 5,
  heardAtMs: 6,
  doubtedAtMs: null,
};

test("a lease comes back as it was, heard of just now", () => {
  const { id, hold, event } = rowOf(LEASE);
  expect(leaseOf({ id, hold: hold ?? "", event }, 40)).toEqual({ ...LEASE, heardAtMs: 40 });
});
