/**
 * A tenant's object: a thin shell over `tenant.ts`. It is asked once for many requests, so what it grants is durable
 * before the answer leaves (the platform holds a reply back until what was written before it is).
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "#src/env.ts";
import type { Credit, Wanted } from "./grants.ts";
import { grant, NEW_TENANT, storedTenant, type TenantAnswer, type TenantState } from "./tenant.ts";

export class Tenant extends DurableObject<Env> {
  #state: TenantState;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL)");
    const [stored] = sql.exec<{ value: string }>("SELECT value FROM state").toArray();
    this.#state = stored === undefined ? NEW_TENANT : storedTenant(stored.value);
  }

  /**
   * Grants an account what one of its requests needs and some in advance, or refuses.
   *
   * @param askedAtMs the clock of the account's machine, so that a clock that leaps ahead here grants nothing again
   */
  grant(wanted: readonly Wanted[], credits: readonly Credit[], askedAtMs: number): TenantAnswer {
    const { state, answer } = grant(this.#state, wanted, credits, Date.now(), askedAtMs);
    this.#state = state;
    this.ctx.storage.sql.exec(
      "INSERT INTO state (one, value) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET value = excluded.value",
      JSON.stringify(state),
    );
    return answer;
  }
}
