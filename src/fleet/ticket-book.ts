/**
 * What one isolate holds of the pool's slots and has seen of its hosts, for its next report to the Fleet object. Values
 * only, no I/O; the clock is an argument.
 *
 * Slots given in advance may be used until 2.5 s after the report was sent that brought them, and while the next one is
 * under way only those that it names: what it says is in use and kept is then all that can be in use (`holdings.ts` keeps
 * them for longer).
 */
import { type Decision, Decisions } from "./decision.ts";
import type { HoldingsReport } from "./holdings.ts";
import { both, type Gathered, gather, type Outcome } from "./outcome.ts";
import { type FleetView, UNSEEN } from "./view.ts";

const SPARE_FOR_MS = 2_500;
/** A burst reports this often, so that it doubles its slots that fast; a host that is full costs no more reports than that. */
const SHORT_REPORT_AFTER_MS = 250;
/** A host that failed is hardly asked for this long, doubling with each failure in a row: until all have heard of it. */
const AVOIDED_FOR_MS = 2_000;
const AVOIDED_AT_MOST_MS = 32_000;
const DECISIONS_KEPT = 20;

export type Report = HoldingsReport & { readonly outcomes: Gathered; readonly decisions: readonly Decision[] };

/** Requests with a slot say every 2 s that they live: one that has been silent for this long was ended by the platform. */
const SILENT_AFTER_MS = 15_000;

type Held = {
  readonly host: string;
  readonly servedAs: string;
  /** By the Fleet object, one by one, or a slot that was given in advance; `local`: nobody has given it. */
  readonly from: "ticket" | "spare" | "local";
  aliveAtMs: number;
};

export class TicketBook {
  readonly #isolate: string;
  #seq = 0;
  readonly #held = new Map<string, Held>();
  #spare = new Map<string, number>();
  #spareUntilMs = 0;
  #reportedAtMs = Number.NEGATIVE_INFINITY;
  #outcomes: Gathered = {};
  readonly #decisions = new Decisions(DECISIONS_KEPT);
  readonly #avoided = new Map<string, { readonly untilMs: number; readonly inRow: number }>();

  /** @param isolate a name that no other isolate has */
  constructor(isolate: string) {
    this.#isolate = isolate;
  }

  get isolate(): string {
    return this.#isolate;
  }

  /** Requests of this isolate that are in flight on a host. */
  inFlight(host: string): number {
    let count = 0;
    for (const held of this.#held.values()) if (held.host === host) count++;
    return count;
  }

  /** Uses a slot that was given in advance. @returns false when there is none */
  takeSpare(id: string, host: string, servedAs: string, nowMs: number): boolean {
    const spare = nowMs < this.#spareUntilMs ? (this.#spare.get(host) ?? 0) : 0;
    if (spare === 0) return false;
    this.#spare.set(host, spare - 1);
    this.#held.set(id, { host, servedAs, from: "spare", aliveAtMs: nowMs });
    return true;
  }

  /** Whether slots given in advance that do not do are worth a report: its answer brings as many as are in use by then. */
  mayReportEarly(nowMs: number): boolean {
    return Math.abs(nowMs - this.#reportedAtMs) >= SHORT_REPORT_AFTER_MS;
  }

  /** A slot is in use from now on. */
  hold(id: string, host: string, servedAs: string, isGranted: boolean, nowMs: number): void {
    this.#held.set(id, { host, servedAs, from: isGranted ? "ticket" : "local", aliveAtMs: nowMs });
  }

  /** The request that uses a slot goes on. */
  lives(id: string, nowMs: number): void {
    const held = this.#held.get(id);
    if (held !== undefined) held.aliveAtMs = nowMs;
  }

  /** A slot comes free; one given in advance may be used again as long as those may. */
  drop(id: string, nowMs: number): void {
    const held = this.#held.get(id);
    this.#held.delete(id);
    if (held?.from !== "spare" || nowMs >= this.#spareUntilMs) return;
    this.#spare.set(held.host, (this.#spare.get(held.host) ?? 0) + 1);
  }

  /** Keeps how a call ended, and how long it held its slot, for the next report. */
  note(host: string, servedAs: string, outcome: Outcome, heldMs: number): void {
    gather(this.#outcomes, host, servedAs, outcome, heldMs);
  }

  /** Reacts to what this isolate has seen, before anybody else knows. */
  saw(host: string, outcome: Outcome, nowMs: number): void {
    if (outcome.kind === "ok") this.#avoided.delete(host);
    if (outcome.kind !== "failed") return;
    const inRow = (this.#avoided.get(host)?.inRow ?? 0) + 1;
    const forMs = Math.min(AVOIDED_AT_MOST_MS, AVOIDED_FOR_MS * 2 ** (inRow - 1));
    this.#avoided.set(host, { untilMs: nowMs + forMs, inRow });
  }

  decided(decision: Decision): void {
    this.#decisions.keep(decision);
  }

  /** The pool's view with this isolate's own fresh experience in it. */
  view(view: FleetView, nowMs: number): FleetView {
    const avoided = [...this.#avoided].filter(([, { untilMs }]) => nowMs < untilMs);
    if (avoided.length === 0) return view;
    const hosts = { ...view.hosts };
    for (const [host, { untilMs }] of avoided) {
      const known = hosts[host] ?? UNSEEN;
      hosts[host] = { ...known, busyUntilMs: Math.max(known.busyUntilMs, untilMs) };
    }
    return { ...view, hosts };
  }

  /**
   * What to tell now. Until the answer comes as many slots that were given in advance may go on being used as are in use:
   * the report says so, and an isolate that is busy need not ask for each one meanwhile.
   *
   * @param mayKeep whether nobody waits for a host's slots
   */
  report(nowMs: number, mayKeep: (host: string) => boolean = () => true): Report {
    this.#reportedAtMs = nowMs;
    const used: Record<string, number> = {};
    const tickets: Record<string, { readonly host: string; readonly servedAs: string }> = {};
    for (const [id, { host, servedAs, from, aliveAtMs }] of this.#held) {
      if (nowMs - aliveAtMs >= SILENT_AFTER_MS) this.#held.delete(id);
      else if (from === "ticket") tickets[id] = { host, servedAs };
      else used[host] = (used[host] ?? 0) + 1;
    }
    const kept: Record<string, number> = {};
    for (const [host, spare] of nowMs < this.#spareUntilMs ? this.#spare : []) {
      const count = mayKeep(host) ? Math.min(spare, used[host] ?? 0) : 0;
      if (count > 0) kept[host] = count;
    }
    const report = {
      isolate: this.#isolate,
      seq: ++this.#seq,
      used,
      kept,
      tickets,
      outcomes: this.#outcomes,
      decisions: this.#decisions.drain(),
    };
    this.#spare = new Map(Object.entries(kept));
    this.#outcomes = {};
    return report;
  }

  /** The answer to a report. */
  reported(report: Report, spare: Readonly<Record<string, number>>, sentAtMs: number): void {
    // A later one is under way, and may have said that nothing is spare.
    if (report.seq !== this.#seq) return;
    this.#spare = new Map(Object.entries(spare));
    this.#spareUntilMs = sentAtMs + SPARE_FOR_MS;
  }

  /** Nobody heard a report: what it had seen goes into the next. */
  unheard(report: Report): void {
    for (const [key, outcomes] of Object.entries(report.outcomes)) {
      const { host, servedAs } = outcomes;
      const since = this.#outcomes[key];
      this.#outcomes[key] = since === undefined ? outcomes : { host, servedAs, ...both(outcomes, since) };
    }
  }
}
