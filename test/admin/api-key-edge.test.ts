import { describe, expect, test } from "vitest";
import { edgeStateOf } from "#src/admin/api-key-edge.ts";
import type { ApiKey } from "#src/postgres/api-keys.ts";

const NOW_MS = 1_790_000_000_000;
const at = (ms: number): Date => new Date(NOW_MS + ms);
const HOUR_MS = 3_600_000;

const KEY: ApiKey = {
  id: "key_1",
  hash: "abc",
  owner: "n8n",
  tier: "basic",
  scopes: ["inference"],
  label: "nightly",
  createdAt: at(-HOUR_MS),
  createdBy: "ops",
  expiresAt: at(HOUR_MS),
  retiresAt: null,
  revokedAt: null,
  replacedBy: null,
  lastUsedAt: null,
  deliveredAt: at(-HOUR_MS),
  revision: 1,
  state: "active",
};

describe("what the edge must know", () => {
  test.each<{
    name: string;
    changed: Partial<ApiKey>;
    endsMs: number | null;
    expiresMs: number;
    retires: number | null;
  }>([
    { name: "active", changed: {}, endsMs: HOUR_MS, expiresMs: HOUR_MS, retires: null },
    { name: "in its last second", changed: { expiresAt: at(1) }, endsMs: 1, expiresMs: 60_000, retires: null },
    { name: "expired", changed: { expiresAt: at(0) }, endsMs: null, expiresMs: 60_000, retires: null },
    { name: "in the overlap", changed: { retiresAt: at(5_000) }, endsMs: 5_000, expiresMs: 60_000, retires: 5_000 },
    {
      name: "an overlap longer than its life",
      changed: { retiresAt: at(2 * HOUR_MS) },
      endsMs: HOUR_MS,
      expiresMs: HOUR_MS,
      retires: 2 * HOUR_MS,
    },
    { name: "retired", changed: { retiresAt: at(0) }, endsMs: null, expiresMs: 60_000, retires: 0 },
    { name: "revoked", changed: { revokedAt: at(-1) }, endsMs: null, expiresMs: 60_000, retires: -1 },
    {
      name: "revoked in the overlap",
      changed: { retiresAt: at(5_000), revokedAt: at(-1) },
      endsMs: null,
      expiresMs: 60_000,
      retires: -1,
    },
  ])("$name", ({ changed, endsMs, expiresMs, retires }) => {
    const state = edgeStateOf({ ...KEY, ...changed }, NOW_MS);
    expect(state).toMatchObject({ kvKey: "key:abc", accountId: "key|n8n", expirationS: (NOW_MS + expiresMs) / 1000 });
    expect(state.record?.expiresAtMs ?? null).toBe(endsMs === null ? null : NOW_MS + endsMs);
    expect(state.retiresAtMs).toBe(retires === null ? null : NOW_MS + retires);
  });

  test("the record holds the grant and nothing of the key's text", () => {
    expect(edgeStateOf(KEY, NOW_MS).record).toEqual({
      v: 1,
      id: "key_1",
      owner: "n8n",
      tier: "basic",
      scopes: ["inference"],
      label: "nightly",
      expiresAtMs: NOW_MS + HOUR_MS,
    });
  });
});
