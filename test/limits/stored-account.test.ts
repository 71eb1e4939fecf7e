import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { NEW_ACCOUNT } from "#src/limits/account.ts";
import { StoredAccount } from "#src/limits/stored-account.ts";

const STATE = { ...NEW_ACCOUNT, retiredKeys: { key_1: 7 } };

/** Over the storage of an object of its own. */
const inStorage = (work: (storage: DurableObjectStorage) => void): Promise<void> =>
  runInDurableObject(env.ACCOUNT.getByName(crypto.randomUUID()), (_instance, { storage }) => work(storage));

test("a state is read as it was written, and written only where it has changed", () =>
  inStorage((storage) => {
    const stored = new StoredAccount(storage);
    expect(stored.read()).toEqual(NEW_ACCOUNT);
    stored.write(STATE, () => undefined);
    expect(new StoredAccount(storage).read()).toEqual(STATE);
    storage.sql.exec("DELETE FROM state");
    stored.write(STATE, () => undefined);
    expect(stored.read()).toEqual(NEW_ACCOUNT);
    stored.write({ ...STATE }, () => undefined);
    expect(stored.read()).toEqual(STATE);
  }));

test("what goes with it fails: neither is there, and both are written the next time", () =>
  inStorage((storage) => {
    const stored = new StoredAccount(storage);
    const fails = () => {
      throw new Error("disk");
    };
    expect(() => stored.write(STATE, fails)).toThrow("disk");
    expect(stored.read()).toEqual(NEW_ACCOUNT);
    stored.write(STATE, () => undefined);
    expect(stored.read()).toEqual(STATE);
  }));
