/**
 * One ticket: an identity that is given out once, and for half a minute at most. An object per ticket, so that nothing
 * but the ticket's hash leads to it, and its single thread makes the one use one.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "#src/env.ts";
import type { Identity } from "./proof.ts";

type Kept = { readonly identity: Identity; readonly untilMs: number };

export class Ticket extends DurableObject<Env> {
  /** @param untilMs wall clock */
  async issue(identity: Identity, untilMs: number): Promise<void> {
    this.ctx.storage.kv.put<Kept>("kept", { identity, untilMs });
    await this.ctx.storage.setAlarm(untilMs);
  }

  /** @returns null for a ticket that was used, has run out, or never was */
  async redeem(): Promise<Identity | null> {
    const kept = this.ctx.storage.kv.get<Kept>("kept");
    if (kept === undefined) return null;
    // Before anything is awaited: another call may come in between.
    this.ctx.storage.kv.delete("kept");
    await this.ctx.storage.deleteAll();
    return Date.now() < kept.untilMs ? kept.identity : null;
  }

  override async alarm(): Promise<void> {
    await this.ctx.storage.deleteAll();
  }
}
