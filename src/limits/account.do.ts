/**
 * The caller's Account object: a thin shell over `account.ts` that keeps its rows in an `Outbox`.
 *
 * `admit` decides in memory and answers at once; rows are written behind it, coalesced. `confirm` travels with `admit`
 * and resolves when the lease is durable: the caller awaits it before the first byte leaves, which hides behind any
 * real first token. `renew` says that the holder lives. `settle` overwrites the lease's row with the whole event
 * (idempotent by id, and complete in itself). By itself (`errands.ts`) it sends settled events to the queue, again until
 * the ledger has them, and turns the leases of holders that fell silent into `abandoned` events.
 *
 * Promises are shared between calls here: all calls of one object run in one context, unlike requests in a Worker.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "#src/env.ts";
import type { UsageEvent, UsageMessage } from "#src/usage/event.ts";
import { within } from "#src/within.ts";
import {
  type AccountState,
  type AdmitRequest,
  type Allowance,
  admit,
  type Decision,
  refund,
  type Standings,
  settle,
  standingsOf,
} from "./account.ts";
import { tick } from "./clock.ts";
import { Counted } from "./counted.ts";
import { count, type Totals } from "./day-totals.ts";
import { type Duties, Errands } from "./errands.ts";
import type { Credit } from "./grants.ts";
import { leaseOf, rowOf } from "./lease-rows.ts";
import { Leases, type OpenLease, type Progress } from "./leases.ts";
import { Outbox } from "./outbox.ts";
import { isRetired, retireKey } from "./retired-keys.ts";
import { StoredAccount } from "./stored-account.ts";
import { type TenantCaps, TenantShare } from "./tenant-share.ts";
import { WriteBehind } from "./write-behind.ts";

export type AccountRequest = AdmitRequest & {
  /** The clock of the machine that asks, so that one clock that leaps ahead admits nobody. */
  readonly askedAtMs: number;
  /** The caps that the caller shares with others; null where the catalog has none. */
  readonly tenant: TenantCaps | null;
};

/** A queue that takes longer has not heard: events go out again, and the ledger takes an id once. */
const SEND_WITHIN_MS = 30_000;
/** Rows that the ledger has are deleted with the next write, or by one of their own this much later. */
const TIDY_WITHIN_MS = 1_000;
/** So many requests in flight, and their leases share writes. */
const MANY_IN_FLIGHT = 4;

export class Account extends DurableObject<Env> {
  #state: AccountState;
  readonly #stored: StoredAccount;
  readonly #leases = new Leases();
  readonly #outbox: Outbox;
  readonly #share: TenantShare;
  readonly #writes: WriteBehind;
  /** The last events that the totals have. */
  readonly #counted = new Counted();
  /** Admissions that wait for the tenant, by lease id. */
  readonly #deciding = new Map<string, Promise<unknown>>();
  readonly #errands: Errands;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    this.#stored = new StoredAccount(ctx.storage);
    this.#state = this.#stored.read();
    const sendAfterMs = Number(env.OUTBOX_SEND_MS) || undefined;
    const resendAfterMs = Number(env.OUTBOX_RESEND_MS) || undefined;
    const queue = { sendBatch: (messages: MessageSendRequest<UsageMessage>[]) => this.env.USAGE.sendBatch(messages) };
    this.#outbox = new Outbox(sql, queue, ctx.id.toString(), Date.now(), { sendAfterMs, resendAfterMs });
    this.#share = new TenantShare((id) => ({
      grant: (wanted, credits) => env.TENANT.getByName(id).grant(wanted, credits, Date.now()),
    }));
    this.#writes = new WriteBehind(
      () => this.#write(),
      () => ctx.storage.sync(),
      Date.now,
      () => this.#leases.size >= MANY_IN_FLIGHT,
    );
    this.#errands = new Errands(
      {
        setAlarm: (atMs) => ctx.waitUntil(ctx.storage.setAlarm(atMs)),
        defer: (work) => ctx.waitUntil(work),
        now: Date.now,
      },
      () => this.#duties(),
      () => this.#sweepAndSend(),
      this.#outbox.sendAfterMs,
    );
    this.#reopen();
    // Unknown, the alarm would be put off to the end of this instance's first lease, and all that waits with it.
    void ctx.blockConcurrencyWhile(async () => this.#errands.begin(await ctx.storage.getAlarm()));
  }

  /** Admits or refuses one request, from memory; only a tenant's cap may have to be asked for. */
  admit(request: AccountRequest): Decision | Promise<Decision> {
    const { tenant, ifAbandoned } = request;
    if (tenant === null) return this.#decide(request, []);
    const deciding = this.#decideWithTenant(request, tenant);
    this.#deciding.set(ifAbandoned.id, deciding);
    return deciding.finally(() => this.#deciding.delete(ifAbandoned.id));
  }

  /**
   * Waits until a lease is durable.
   *
   * @returns false when the object does not hold the lease: it was refused, or lost with an instance that died
   */
  async confirm(id: string): Promise<boolean> {
    await this.#deciding.get(id)?.catch(() => undefined);
    if (this.#leases.get(id) === undefined) return false;
    await this.#writes.soon();
    return true;
  }

  /** The holder of a lease lives; what is known of its request so far. @returns false when there is no such lease */
  renew(id: string, progress: Progress): boolean {
    const before = this.#leases.renew(id, progress, this.#now());
    const lease = this.#leases.get(id);
    if (before === undefined || lease === undefined) return false;
    // What is known of the request is written, because an instance dies sooner than a holder is found silent. And so is
    // that it is no longer doubted, as that it was.
    if (before.doubtedAtMs !== null || Object.keys(progress).length > 0) this.#noteOpen(lease);
    return true;
  }

  /** Puts an event on its way to the ledger, ending its lease if it has one; resolves when durable. Safe to repeat. */
  async settle(event: UsageEvent): Promise<void> {
    this.#end(event);
    // What a request came to is settled behind its answer, and can wait for the next lease's write; an answer to feedback
    // waits for this one.
    await (event.kind === "inference" ? this.#writes.written() : this.#writes.soon());
  }

  /** Undoes an admission that came too late: its caller was told otherwise, so it neither counts nor is told of. */
  release(id: string): void {
    const lease = this.#leases.close(id, this.#now());
    if (lease === undefined) return;
    this.#state = refund(this.#state, lease.charge);
    this.#share.giveBack(lease.credits, NOTHING);
    this.#outbox.forget(id);
    this.#writes.note();
  }

  /** The ledger has these events. */
  acknowledge(ids: readonly string[]): void {
    if (this.#outbox.acknowledge(ids)) this.#writes.note(TIDY_WITHIN_MS);
  }

  /** Where the caller stands, spending nothing. */
  standing(allowance: Allowance): Standings {
    return standingsOf(this.#state, this.#leases, allowance, Date.now());
  }

  /**
   * Ends an API key of this owner; from `fromMs` on nothing is admitted with it.
   *
   * @param fromMs wall clock; in the future for a key that is being rotated
   */
  async retireKey(keyId: string, fromMs: number): Promise<void> {
    this.#state = { ...this.#state, retiredKeys: retireKey(this.#state.retiredKeys, keyId, fromMs, Date.now()) };
    this.#writes.note();
    await this.#writes.soon();
  }

  /** Whether a key still opens something, for routes that need no lease. */
  isKeyRetired(keyId: string): boolean {
    return isRetired(this.#state.retiredKeys, keyId, Math.max(Date.now(), this.#now()));
  }

  /** What the caller's requests came to, by day: for the reconciliation with the ledger. */
  totals(): Totals {
    return this.#state.totals;
  }

  /** Never throws: the platform drops an alarm after six failures. */
  override alarm(): Promise<void> {
    return this.#errands.rang();
  }

  async #sweepAndSend(): Promise<void> {
    try {
      this.#sweep();
      await within(SEND_WITHIN_MS, this.#send());
    } catch (cause) {
      console.error(JSON.stringify({ at: "account.alarm", cause: String(cause) }));
    }
  }

  async #send(): Promise<void> {
    await this.#writes.soon();
    await this.#outbox.send(Date.now);
  }

  async #decideWithTenant(request: AccountRequest, tenant: TenantCaps): Promise<Decision> {
    const share = await this.#share.spend(tenant, request.cost, () => this.#now());
    if (share.kind === "spent") return this.#decide(request, share.credits);
    const { violated, retryAfterMs } = share;
    const { windows, slots } = standingsOf(this.#state, this.#leases, request, Date.now());
    const standings = { windows: [...windows, violated], slots };
    return { kind: "denied", standings, violated: violated.limit, retryAfterMs };
  }

  #decide(request: AccountRequest, credits: readonly Credit[]): Decision {
    const { askedAtMs } = request;
    const { state, decision, lease } = admit(this.#state, this.#leases, request, credits, Date.now(), askedAtMs);
    this.#state = state;
    if (lease === null) this.#share.giveBack(credits, NOTHING);
    else {
      this.#leases.open(lease);
      this.#noteOpen(lease);
    }
    return decision;
  }

  #end(event: UsageEvent): void {
    const lease = this.#leases.close(event.id, this.#now());
    if (lease !== undefined && event.kind === "inference") {
      this.#state = settle(this.#state, lease.charge, event);
      const tokens = event.promptTokens + event.completionTokens;
      this.#share.giveBack(lease.credits, {
        requests: 1,
        tokens,
        micros: event.costMicros ?? lease.charge.cost.micros,
      });
    }
    // Settled again long after: the ledger keeps the first, and so do the totals.
    const before = this.#outbox.settled(event.id);
    if (before !== undefined || !this.#counted.has(event.id))
      this.#state = { ...this.#state, totals: count(this.#state.totals, event, before) };
    this.#counted.add(event.id);
    this.#outbox.note({ id: event.id, hold: null, event }, Date.now());
    this.#writes.note();
  }

  #noteOpen(lease: OpenLease): void {
    this.#outbox.note(rowOf(lease), Date.now());
    this.#writes.note();
  }

  /** Leases of the instance before this one: their holders may live, and have as long as ever to say so. */
  #reopen(): void {
    for (const row of this.#outbox.openRows()) {
      const lease = leaseOf(row, this.#now());
      if (lease !== null) this.#leases.open(lease);
    }
    // Written down, because this instance may not live long enough to find a holder silent.
    for (const lease of this.#leases.doubt(this.#now(), ({ openedAtMs }) => openedAtMs)) this.#noteOpen(lease);
  }

  /** Silent holders are doubted, and when they stay silent their requests become events as they stand. */
  #sweep(): void {
    const nowMs = this.#now();
    for (const lease of this.#leases.doubt(nowMs)) this.#noteOpen(lease);
    for (const { event } of this.#leases.abandoned(nowMs)) this.#end(event);
  }

  /**
   * The account's own clock. That the wall clock stepped back is kept, so that time goes on; whether it leapt ahead only
   * an admission can judge, which knows another machine's clock.
   */
  #now(): number {
    const clock = tick(this.#state.clock, Date.now());
    if (clock.offsetMs !== this.#state.clock.offsetMs) this.#state = { ...this.#state, clock };
    return clock.lastMs;
  }

  #write(): void {
    this.#stored.write(this.#state, () => this.#outbox.write());
    this.#errands.arm();
  }

  #duties(): Duties {
    const lookInMs = this.#leases.nextLookInMs(this.#now());
    return {
      lookAtMs: lookInMs === null ? null : Date.now() + lookInMs,
      sendAtMs: this.#outbox.nextDueAtMs(),
      isFailing: this.#outbox.isFailing,
    };
  }
}

const NOTHING = { requests: 0, tokens: 0, micros: 0 };
