// The conductor of every generation: admission, truth, slot, tokens, stream or whole reply, and what happens when the
// caller leaves. The dialect's Shape says how it looks on the wire.
import { SHIFTS } from "./answer.ts";
import { EventStream } from "./event-stream.ts";
import type { Exchange } from "./exchange.ts";
import { Generation } from "./generation.ts";
import type { Machine, RunningJob } from "./machine.ts";
import type { Ticket, Work } from "./scheduler.ts";
import type { Ask, Choice, Facts, Shape } from "./shape.ts";
import type { Ended, TruthEntry } from "./truth.ts";
import { reply, replyStruck } from "./whole-reply.ts";

/** Runs the ask to its end. False when the line is full: the caller then refuses in the engine's words. */
export function generate(machine: Machine, exchange: Exchange, ask: Ask, shape: Shape): boolean {
  if (machine.scheduler.full) {
    machine.meters.rejected += 1;
    return false;
  }
  const job = new Job(machine, exchange, ask, shape);
  job.accepted(machine.scheduler.submit(job));
  return true;
}

class Job implements Work, RunningJob {
  readonly number: number;
  readonly promptTokens: number;
  readonly blocks: readonly number[];
  readonly maxTokens: number;
  readonly stream: boolean;
  readonly #machine: Machine;
  readonly #exchange: Exchange;
  readonly #shape: Shape;
  readonly #choices: readonly Choice[];
  readonly #facts: Facts;
  readonly #events: EventStream | null;
  readonly #acceptedAtMs: number;
  readonly #begin: () => TruthEntry;
  #entry: TruthEntry | undefined;
  #ticket: Ticket | undefined;
  #startedAtMs = 0;
  #firstAtMs = 0;
  #hung = false;

  constructor(machine: Machine, exchange: Exchange, ask: Ask, shape: Shape) {
    this.#machine = machine;
    this.#exchange = exchange;
    this.#shape = shape;
    this.#acceptedAtMs = machine.now();
    this.number = machine.nextNumber();
    this.maxTokens = ask.limits.maxTokens;
    this.stream = ask.stream;
    const looks = ask.prompts.map((prompt) => machine.prefixCache.look(prompt, `${ask.model}\n${ask.cacheSalt ?? ""}`));
    const sum = (of: (look: (typeof looks)[number]) => number): number =>
      looks.reduce((total, look) => total + of(look), 0);
    this.promptTokens = sum((look) => look.promptTokens);
    this.blocks = looks.flatMap((look) => look.blocks);
    this.#facts = {
      promptTokens: this.promptTokens,
      cachedTokens: sum((look) => look.cachedTokens),
      completionTokens: 0,
      slot: -1,
      promptMs: 0,
      decodeMs: 0,
    };
    this.#choices = ask.prompts.flatMap((prompt, at) =>
      Array.from({ length: ask.n }, (_, copy) => {
        const options = { weights: machine.weights, shift: (ask.shift + copy) % SHIFTS, script: ask.script };
        return { index: at * ask.n + copy, prompt, generation: new Generation(prompt, options, ask.limits) };
      }),
    );
    this.#events = ask.stream ? this.#openStream() : null;
    const { id, model } = ask;
    const { requestId } = exchange;
    this.#begin = () =>
      machine.truth.begin({ id, requestId, model, promptTokens: this.promptTokens }, this.#acceptedAtMs);
  }

  /** The scheduler took it, to run or to wait. */
  accepted(ticket: Ticket): void {
    this.#ticket = ticket;
    const entry = this.#begin();
    this.#entry = entry;
    this.#machine.jobs.add(this);
    this.#facts.slot = ticket.slot();
    if (this.#shape.headersAt === "accept" || ticket.slot() >= 0) this.#events?.open();
    this.#exchange.res.on("close", () => {
      this.#events?.abandon();
      if (entry.ended === null) this.#end(this.#hung ? "fault" : "aborted");
    });
  }

  slot(): number {
    return this.#ticket?.slot() ?? -1;
  }

  decoded(): number {
    return this.#facts.completionTokens;
  }

  start(nowMs: number): number {
    this.#startedAtMs = nowMs;
    if (this.#ticket) {
      this.#facts.slot = this.#ticket.slot();
      this.#events?.open();
    }
    const { promptTokens, cachedTokens } = this.#facts;
    // Prefill is what a prefix hit saves; a fifth stays for scheduling and the first decode.
    const hit = promptTokens === 0 ? 0 : cachedTokens / promptTokens;
    this.#facts.promptMs = this.#machine.pace.ttftMs * (1 - 0.8 * hit);
    return this.#facts.promptMs;
  }

  advance(tokens: number, nowMs: number): boolean {
    if (this.#hung) return true;
    if (this.#firstAtMs === 0) this.#first(nowMs);
    this.#facts.decodeMs = nowMs - this.#firstAtMs;
    let going = true;
    for (let due = 0; due < tokens && going && !this.#over(); due += 1) going = this.#step();
    if (this.#over()) return false;
    if (this.#hung) return true;
    if (going) this.#events?.flush();
    else this.#finish();
    return going;
  }

  #over(): boolean {
    return this.#entry?.ended !== null;
  }

  /** One token for every choice still going; false when none is. */
  #step(): boolean {
    let going = false;
    for (const choice of this.#choices) {
      if (choice.generation.finish !== null) continue;
      const piece = choice.generation.step();
      this.#facts.completionTokens += piece.tokens;
      this.#events?.push(this.#shape.piece(choice, piece, this.#facts), piece.tokens);
      going ||= piece.finish === null;
    }
    return going;
  }

  #first(nowMs: number): void {
    const { meters } = this.#machine;
    this.#firstAtMs = nowMs;
    meters.firstToken.observe((nowMs - this.#acceptedAtMs) / 1000);
    meters.queued.observe((this.#startedAtMs - this.#acceptedAtMs) / 1000);
    meters.prefill.observe((nowMs - this.#startedAtMs) / 1000);
    meters.promptTokens += this.promptTokens;
    meters.computedPromptTokens += this.promptTokens - this.#facts.cachedTokens;
    meters.promptMs += nowMs - this.#startedAtMs;
    this.#events?.push(this.#shape.opening(this.#choices, this.#facts), 0);
  }

  #finish(): void {
    const reason: Ended = this.#choices.some(({ generation }) => generation.finish === "length") ? "length" : "stop";
    if (this.#events) {
      this.#events.finish(this.#shape.ending(this.#facts), () => this.#end(reason));
      return;
    }
    const { res, fault } = this.#exchange;
    const body = JSON.stringify(this.#shape.whole(this.#choices, this.#facts));
    if (fault === null) reply(res, 200, this.#shape.wholeHeaders, body);
    const struck = fault !== null && replyStruck(res, this.#shape.wholeHeaders, body, fault, this.#shape.errorBody);
    this.#end(struck ? "fault" : reason);
  }

  #openStream(): EventStream {
    const { res, fault } = this.#exchange;
    return new EventStream(res, this.#shape.streamHeaders, fault, {
      errorEvent: this.#shape.errorEvent,
      handed: (tokens) => {
        const entry = this.#entry;
        // What turns out later not to have gone out corrects only the count of a caller who left.
        if (entry?.ended === null || (entry?.ended === "aborted" && tokens < 0)) entry.completionTokens += tokens;
      },
      struck: (hung) => {
        this.#hung = hung;
        if (!hung) this.#end("fault");
      },
    });
  }

  #end(ended: Ended): void {
    const { meters, truth } = this.#machine;
    const now = this.#machine.now();
    if (this.#entry) {
      if (!this.stream) this.#entry.completionTokens = this.#facts.completionTokens;
      truth.end(this.#entry, ended, now);
    }
    this.#machine.jobs.delete(this);
    this.#ticket?.leave();
    const { completionTokens } = this.#facts;
    meters.ended[ended] += 1;
    meters.generatedTokens += completionTokens;
    meters.largestContext = Math.max(meters.largestContext, this.promptTokens + completionTokens);
    if (this.#firstAtMs === 0) return;
    const decodeMs = now - this.#firstAtMs;
    meters.generatedMs += decodeMs;
    meters.decode.observe(decodeMs / 1000);
    meters.request.observe((now - this.#acceptedAtMs) / 1000);
    if (completionTokens > 1)
      meters.betweenTokens.observe(decodeMs / 1000 / (completionTokens - 1), completionTokens - 1);
  }
}
