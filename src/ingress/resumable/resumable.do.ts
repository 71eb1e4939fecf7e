/**
 * The object that owns one resumable stream: it answers the question itself, so that the answer outlives the caller's
 * connection, and gives it to whoever of its caller's comes to read. A thin shell over `kept-stream.ts`.
 *
 * While the answer is made an alarm goes off every few seconds: the platform puts an object to sleep that nobody calls,
 * whatever it is doing. Without a reader for as long as the grace the answer is given up, and ten minutes after the end
 * the alarm deletes everything. An instance that finds a stream without an end knows that the one before it died in the
 * middle, and says so to whoever reads; the ledger learns it from the lease that nobody renews.
 *
 * The answer is stored, because its caller asked for that. The question never is, and no credential comes this far.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "#src/env.ts";
import { describe, type LogLine } from "#src/metrics/log-line.ts";
import { asProblem, type ProblemCode, type ProblemFacts } from "#src/problem.ts";
import { type CarriedCall, callOf } from "../carried-call.ts";
import { generate } from "../generate.ts";
import { readerOf } from "../questions.ts";
import { type Head, KeptStream, type Opened } from "./kept-stream.ts";
import type { LastWords } from "./last-words.ts";
import { Numbering } from "./numbering.ts";
import { pagesIn } from "./pages.ts";

/** An object that nobody calls sleeps after 10 s at the earliest. */
const AWAKE_EVERY_MS = 8_000;
/** A phone that changes networks, a laptop that is opened again. */
const GRACE_MS = 30_000;
/** So much of an answer is lost at most with an instance that dies. A write per token would be a row per token. */
const SPILL_AFTER_MS = 1_000;

export type Begun =
  | { readonly kind: "begun"; readonly response: Response; readonly log: LogLine }
  /** What was thrown, in a form that travels. */
  | {
      readonly kind: "refused";
      readonly code: ProblemCode;
      readonly facts: Omit<ProblemFacts, "cause"> & { readonly cause: string | undefined };
    };

export class Resumable extends DurableObject<Env> {
  #stream: KeptStream | null = null;
  /** Who asked, before there is a stream. */
  #asking: string | null = null;
  /** Aborted when the answer is given up. */
  readonly #stop = new AbortController();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const head = ctx.storage.kv.get<Head>("head");
    if (head === undefined) return;
    this.#stream = this.#keep(head);
    this.#stream.end("interrupted");
  }

  /**
   * Answers a question, and reads its stream from the beginning; or tells why there is none.
   *
   * @param words what may have to be said in the caller's protocol when the question is long forgotten
   */
  async begin(carried: CarriedCall, words: LastWords): Promise<Begun> {
    const { requestId, principal } = carried;
    this.#asking = principal.accountId;
    try {
      const call = await callOf(carried, this.env, (work) => this.ctx.waitUntil(work), this.#stop.signal);
      const response = await generate(call, readerOf(call));
      this.#stop.signal.throwIfAborted();
      const model = call.catalog.models.find(({ id }) => id === call.log.model);
      if (response.body === null || model === undefined) throw new Error("an answer without a body, or of no model");
      const head = { account: principal.accountId, words, heartbeatMs: model.heartbeat, end: null };
      this.ctx.storage.kv.put("head", head);
      const stream = this.#keep(head);
      this.#stream = stream;
      this.#asking = null;
      this.ctx.waitUntil(this.#record(stream, requestId, response.body));
      await this.#arm();
      return { kind: "begun", response: new Response(stream.read(0), response), log: call.log };
    } catch (thrown) {
      this.#asking = null;
      // Also where an answer had begun that nobody can be given.
      this.#stream?.end("interrupted");
      this.#stop.abort();
      const { code, facts } = asProblem(thrown);
      const cause = facts.cause === undefined ? undefined : describe(facts.cause);
      return { kind: "refused", code, facts: { ...facts, cause } };
    }
  }

  /** A stream of what comes behind an event, for its own caller only. */
  open(account: string, after: number): Opened | { readonly kind: "unknown" } {
    return this.#kept()?.open(account, after) ?? { kind: "unknown" };
  }

  /** The caller is done with it: gives the answer up where it is still being made, and forgets it. */
  async end(account: string): Promise<"ended" | "anothers" | "unknown"> {
    const stream = this.#kept();
    if (stream === null && this.#asking !== account) return "unknown";
    if (stream?.isOf(account) === false) return "anothers";
    stream?.end("cancelled");
    this.#stop.abort();
    await this.#forget();
    return "ended";
  }

  /** Never throws: the platform drops an alarm after six failures. */
  override async alarm(): Promise<void> {
    try {
      const stream = this.#kept();
      if (stream === null) return await this.#forget();
      const forsakenAtMs = stream.forsakenAtMs(this.#graceMs);
      if (forsakenAtMs !== null && forsakenAtMs <= Date.now()) {
        stream.end("cancelled");
        this.#stop.abort();
      }
      await this.#arm();
    } catch (cause) {
      console.error(JSON.stringify({ at: "resumable.alarm", cause: String(cause) }));
      await this.ctx.storage.setAlarm(Date.now() + AWAKE_EVERY_MS);
    }
  }

  get #graceMs(): number {
    return Number(this.env.RESUME_GRACE_MS) || GRACE_MS;
  }

  /** The stream, unless its time is over and only the alarm is late. */
  #kept(): KeptStream | null {
    const forgottenAtMs = this.#stream?.forgottenAtMs() ?? Number.POSITIVE_INFINITY;
    return forgottenAtMs <= Date.now() ? null : this.#stream;
  }

  #keep(head: Head): KeptStream {
    const { storage } = this.ctx;
    return new KeptStream(head, {
      pages: pagesIn(storage.sql),
      save: (changed) => storage.kv.put("head", changed),
      rearm: () => this.ctx.waitUntil(this.#arm()),
      now: Date.now,
    });
  }

  /** Keeps what the answer says, to its end. */
  async #record(stream: KeptStream, id: string, body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader();
    this.#stop.signal.addEventListener("abort", () => void reader.cancel().catch(() => undefined));
    const numbering = new Numbering(id);
    let spilling: ReturnType<typeof setTimeout> | null = null;
    const spill = (): void => {
      spilling = null;
      stream.spill();
    };
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        await stream.take(numbering.push(part.value));
        spilling ??= setTimeout(spill, SPILL_AFTER_MS);
      }
      stream.end("complete");
    } catch (cause) {
      console.error(JSON.stringify({ at: "resumable.record", requestId: id, cause: describe(cause) }));
      stream.end("interrupted");
      this.#stop.abort();
    } finally {
      if (spilling !== null) clearTimeout(spilling);
    }
  }

  /** Nothing stays. */
  async #forget(): Promise<void> {
    const stream = this.#stream;
    // At once: readers who leave now must set no alarm again.
    this.#stream = null;
    this.#asking = null;
    stream?.forget();
    await this.ctx.storage.deleteAll();
  }

  async #arm(): Promise<void> {
    if (this.#stream === null) return;
    const nowMs = Date.now();
    const forsakenAtMs = this.#stream.forsakenAtMs(this.#graceMs) ?? Number.POSITIVE_INFINITY;
    const atMs = this.#stream.forgottenAtMs() ?? Math.min(nowMs + AWAKE_EVERY_MS, forsakenAtMs);
    await this.ctx.storage.setAlarm(Math.max(atMs, nowMs + 1));
  }
}
