import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { NEW_ACCOUNT } from "#src/limits/account.ts";
import { StoredAccount } from "#src/limits/stored-account.ts";

test("a state is read as it was written, and written only where it has changed", () =>
  runInDurableObject(env.ACCOUNT.getByName(crypto.randomUUID()), (_instance, { storage: { sql } }) => {
    const stored = new StoredAccount(sql);
    expect(stored.read()).toEqual(NEW_ACCOUNT);
    const state = { ...NEW_ACCOUNT, retiredKeys: { key_1: 7 } };
    stored.write(state);
    stored.written(state);
    expect(new StoredAccount(sql).read()).toEqual(state);
    sql.exec("DELETE FROM state");
    stored.write(state);
    expect(stored.read()).toEqual(NEW_ACCOUNT);
    stored.write({ ...state });
    expect(stored.read()).toEqual(state);
  }));
