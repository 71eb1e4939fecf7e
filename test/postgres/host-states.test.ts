import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { hostStatesInsert } from "#src/postgres/host-states.ts";
import { inSession } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import type { HostStateEvent } from "#src/usage/event.ts";
import { hostStateWith } from "#test/support/events.ts";

test.each<{ name: string; changed: Partial<HostStateEvent>; row: Record<string, unknown> }>([
  { name: "a change", changed: {}, row: { state: "out", previous: "healthy", slots: 64, reason: "3 probes failed" } },
  { name: "time to the ms", changed: {}, row: { timestamp: new Date(1_790_000_000_123) } },
  {
    name: "the first",
    changed: { previous: null, reason: null, slots: 0 },
    row: { previous: null, reason: null, slots: 0 },
  },
])("a row is its event, once: $name", async ({ changed, row }) => {
  const event = hostStateWith(changed);
  await inSession(env.HYPERDRIVE.connectionString, async (session) => {
    const [first] = await transact(session, "causeway_writer", [hostStatesInsert([event, event])]);
    const [again] = await transact(session, "causeway_writer", [hostStatesInsert([event])]);
    expect([first?.rows, again?.rows]).toEqual([[{ id: event.id }], []]);
    const { rows } = await session.query("SELECT * FROM host_state WHERE id = $1", [event.id]);
    expect(rows).toEqual([expect.objectContaining({ host: "gpu", ...row })]);
  });
});
