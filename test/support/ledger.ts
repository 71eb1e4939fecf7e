/** The ledger of the Worker under test, once the queue has brought what was settled. */
import { env } from "cloudflare:workers";
import { expect, vi } from "vitest";
import { inSession } from "#src/postgres/session.ts";

/** The rows of these requests, in the order of their ids. */
export async function ledgerRows(...ids: (string | null)[]): Promise<Record<string, unknown>[]> {
  const text = "SELECT * FROM inference_logs WHERE id = ANY ($1::uuid[]) ORDER BY id";
  return vi.waitFor(
    async () => {
      const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [ids]));
      expect(rows).toHaveLength(ids.length);
      return rows;
    },
    { timeout: 10_000, interval: 100 },
  );
}
