/**
 * Random schedules of one tenant's accounts against an exact log: each with a clock of its own, questions and answers
 * that take their time, ends that cost less than was taken, and what was not spent handed back with the next question.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Credit, Grants, type Wanted } from "#src/limits/grants.ts";
import { grant, NEW_TENANT, type TenantAnswer, type TenantState } from "#src/limits/tenant.ts";
import type { Cost, Limit } from "#src/limits/windows.ts";
import { ExactLog } from "./exact-log.ts";

const START_MS = 1_790_000_000_000;
const MINUTE_MS = 60_000;
const ACCOUNTS = 4;
/** A unit counts while it may be spent, for a sixtieth of the window, and a window more; and a slice of that at most. */
const COUNTS = 61 / 60 + 61 / 3_600;

type Request = { readonly id: string; readonly cost: Cost; readonly step: Step; questions: number };
type Step = {
  readonly account: number;
  readonly gapMs: number;
  readonly tokens: number;
  /** How long a question and its answer are on their way. */
  readonly thereMs: number;
  readonly backMs: number;
  readonly tookMs: number;
  /** The part of its tokens that it turns out to have used, in tenths. */
  readonly used: number;
};
type Account = {
  readonly grants: Grants;
  readonly clockMs: number;
  /** Requests that wait while the account has a question on its way. */
  readonly waiting: Request[];
  asking: boolean;
};

class World {
  #nowMs = START_MS;
  readonly #tenantClockMs: number;
  readonly #accounts: Account[];
  readonly #limits: readonly Limit[];
  #tenant: TenantState = NEW_TENANT;
  /** What is to happen, by time; in the order of `at` where times are the same. */
  readonly #agenda: { atMs: number; run: () => void }[] = [];
  /** What requests spent, as they spent it; and what the tenant granted, less what came back. */
  readonly #spent = new ExactLog();
  readonly #granted = new ExactLog();
  #ids = 0;
  readonly seen = { admitted: 0, refused: 0 };

  constructor(offsetsMs: readonly number[], rpm: number, tpm: number) {
    this.#limits = [
      { name: "rpm/tenant", unit: "requests", max: rpm, windowMs: MINUTE_MS },
      { name: "tpm/tenant", unit: "tokens", max: tpm, windowMs: MINUTE_MS },
    ];
    this.#tenantClockMs = offsetsMs[ACCOUNTS] ?? 0;
    this.#accounts = Array.from({ length: ACCOUNTS }, (_, at) => {
      return { grants: new Grants(), clockMs: offsetsMs[at] ?? 0, waiting: [], asking: false };
    });
  }

  run(steps: readonly Step[]): void {
    let atMs = START_MS;
    for (const step of steps) {
      atMs += step.gapMs;
      this.#later(atMs, () => this.#arrive(step));
    }
    for (;;) {
      this.#agenda.sort((one, other) => one.atMs - other.atMs);
      const next = this.#agenda.shift();
      if (next === undefined) return;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
    }
  }

  #later(atMs: number, run: () => void): void {
    this.#agenda.push({ atMs, run });
  }

  #arrive(step: Step): void {
    const request = {
      id: `r${this.#ids++}`,
      questions: 0,
      cost: { requests: 1, tokens: step.tokens, micros: 0 },
      step,
    };
    const account = this.#accounts[step.account];
    if (account === undefined) throw new Error("no account");
    account.waiting.push(request);
    this.#serve(account);
  }

  /** Lets through what is covered, in order of arrival; asks for the first that is not. As `TenantShare` does. */
  #serve(account: Account): void {
    for (;;) {
      const [request] = account.waiting;
      if (request === undefined || account.asking) return;
      const nowMs = this.#nowMs + account.clockMs;
      const wanted = account.grants.missing(this.#limits, request.cost, nowMs);
      if (wanted.length > 0) {
        this.#ask(account, request, wanted, nowMs);
        return;
      }
      account.waiting.shift();
      this.#spend(account, request, account.grants.spend(this.#limits, request.cost, nowMs));
    }
  }

  #spend(account: Account, { id, cost, step }: Request, credits: readonly Credit[]): void {
    this.seen.admitted++;
    for (const { name, unit } of this.#limits) this.#spent.charge(id, name, cost[unit], this.#nowMs);
    for (const { name, windowMs, max } of this.#limits)
      if (this.#spent.sum(name, windowMs, this.#nowMs) > max) throw new Error(`spent beyond ${name}`);
    this.#later(this.#nowMs + step.tookMs, () => {
      const used = { ...cost, tokens: Math.floor((cost.tokens * step.used) / 10) };
      for (const { name, unit } of this.#limits) this.#spent.settle(id, name, used[unit]);
      for (const { limit, atMs, units } of credits)
        account.grants.giveBack({ limit, atMs, units: units - used[limit.unit] });
    });
  }

  #ask(account: Account, request: Request, wanted: Wanted[], askedAtMs: number): void {
    account.asking = true;
    const credits = account.grants.takeCredits();
    this.#later(this.#nowMs + request.step.thereMs, () => {
      const answer = this.#grant(wanted, credits);
      this.#later(this.#nowMs + request.step.backMs, () => {
        account.asking = false;
        request.questions++;
        // What two limits bring may expire by turns on a way this long.
        if (answer.kind === "denied" || request.questions === 3) account.waiting.shift();
        if (answer.kind === "denied") this.seen.refused++;
        else for (const { limit, units } of answer.grants) account.grants.add(limit, units, answer.atMs, askedAtMs);
        this.#serve(account);
      });
    });
  }

  /** The tenant's object; it is held to refusing nothing that it could grant, up to what its header says. */
  #grant(wanted: readonly Wanted[], credits: readonly Credit[]): TenantAnswer {
    for (const { limit, atMs, units } of credits) this.#granted.charge("credit", limit.name, -units, atMs);
    const wallMs = this.#nowMs + this.#tenantClockMs;
    const { state, answer } = grant(this.#tenant, wanted, credits, wallMs);
    this.#tenant = JSON.parse(JSON.stringify(state));
    if (answer.kind === "granted") {
      for (const { limit, units } of answer.grants) this.#granted.charge("grant", limit.name, units, answer.atMs);
      return answer;
    }
    const reasons = wanted.filter(
      ({ limit, units }) => this.#granted.sum(limit.name, limit.windowMs * COUNTS, wallMs) + units > limit.max,
    );
    if (reasons.length === 0) throw new Error("refused without a reason");
    this.#holdUnspent(answer.violated.limit);
    return answer;
  }

  /**
   * Requests that were granted and not spent, all accounts together, are all that a refusal may be early by: of each
   * account what its last two questions brought. Of tokens, what requests in flight will give back comes on top.
   */
  #holdUnspent(limit: Limit): void {
    if (limit.unit !== "requests") return;
    const unspent = 2 * ACCOUNTS * Math.max(1, limit.max / 50);
    const spent = this.#spent.sum(limit.name, limit.windowMs * COUNTS, this.#nowMs);
    if (spent + 1 + unspent <= limit.max) throw new Error("refused too early");
  }
}

const MOST_TOKENS = 60;
const offsets = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: ACCOUNTS + 1, maxLength: ACCOUNTS + 1 });
/** A step is one number, because to make up records took longer than all the rest. */
const schedule = fc.array(fc.nat(), { minLength: 30, maxLength: 80 });
/** One of the two is reached long before the other. */
const caps = fc.oneof(
  fc.record({ rpm: fc.integer({ min: 3, max: 60 }), tpm: fc.constant(100_000) }),
  fc.record({ rpm: fc.constant(100_000), tpm: fc.integer({ min: 60, max: 600 }) }),
);

function stepOf(number: number): Step {
  let rest = number;
  const oneOf = (count: number): number => {
    const chosen = rest % count;
    rest = Math.floor(rest / count);
    return chosen;
  };
  const account = oneOf(ACCOUNTS);
  const gap = oneOf(40) % 33;
  const tokens = 1 + oneOf([2, 8, MOST_TOKENS][oneOf(3)] ?? 1);
  const used = oneOf(11);
  const gapMs = [0, 1, 1_000, 15_000, 56_000, 61_000][gap] ?? (rest * 7_919) % (gap % 8 === 7 ? 5_000 : 300);
  return {
    account,
    gapMs,
    tokens,
    thereMs: rest % 300,
    backMs: (rest * 31) % 300,
    tookMs: (rest * 101) % 5_000,
    used,
  };
}

test("nothing over a tenant's cap in any window, however accounts and messages come in between; refused early as far as said", () => {
  const seen = { admitted: 0, refused: 0 };
  const numRuns = 2_000;
  fc.assert(
    fc.property(schedule, offsets, caps, (steps, offsetsMs, { rpm, tpm }) => {
      const world = new World(offsetsMs, rpm, tpm);
      world.run(steps.map(stepOf));
      seen.admitted += world.seen.admitted;
      seen.refused += world.seen.refused;
    }),
    { numRuns },
  );
  expect(seen.admitted).toBeGreaterThan(2 * numRuns);
  expect(seen.refused).toBeGreaterThan(2 * numRuns);
}, 60_000);
