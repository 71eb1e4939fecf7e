/** A streamed answer: the hosts' events, relayed. Its lease is settled exactly once, on every way out. */
import type { Progress } from "#src/limits/leases.ts";
import { Problem } from "#src/problem.ts";
import type { Attempt } from "#src/upstream/attempt.ts";
import { openStream } from "#src/upstream/exchange.ts";
import { type RelayEnd, relay } from "#src/upstream/relay.ts";
import { NOTHING_YET, tokensOf } from "#src/upstream/tally.ts";
import type { Source } from "#src/upstream/telling.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { before } from "#src/within.ts";
import {
  type Asking,
  askHosts,
  dialectFor,
  ended,
  LEASE_NOT_DURABLE,
  madeInVain,
  provenance,
  release,
  unanswered,
  wasShed,
  workedUnseen,
} from "./ask-hosts.ts";
import { carryOnOf, type Making } from "./carry-on.ts";
import type { Seat } from "./choose-host.ts";
import { settleBehind } from "./settle.ts";

/** A silent host commits the stream after one heartbeat, or this, so that a caller who has left is noticed from then on. */
const COMMIT_AFTER_MS = 5_000;

/** Answers with an event stream. */
export async function answerStreamed(asking: Asking): Promise<Response> {
  const { call, question, model, lease, headers } = asking;
  const exchange = new AbortController();
  let leave = (): unknown => exchange.abort();
  if (call.request.signal.aborted) exchange.abort();
  call.request.signal.addEventListener("abort", () => void leave());
  const making: Making = {
    tried: [],
    seats: [],
    stream: null,
    attempts: 0,
    wastedTokens: 0,
    asking: Promise.resolve(),
  };
  const asked = askHosts<Source>(asking, {
    exchange: openStream,
    dialect: dialectFor(asking),
    tried: making.tried,
    kind: "first",
    left: exchange.signal,
  });
  lease.hold(() => progressOf(asking, making));
  /** From then on the relay tells how it ends. */
  let isCommitted = false;
  let refusal: Problem | null = null;
  // Anchored from the start: a caller who leaves while it waits in line must be settled, and takes down what is not.
  const opened = asked.then((result) => {
    making.attempts = result.attempts;
    if (result.kind === "answered") {
      making.seats.push(result.by);
      making.stream = result.answer.stream;
    } else if (!isCommitted) refusal = unanswered(asking, result);
  });
  call.defer(opened);
  await before(Math.min(model.heartbeat, COMMIT_AFTER_MS), opened);
  if (refusal !== null) throw refusal;
  isCommitted = true;

  const relayed = relay(
    opened.then(() => asked.then(sourceOf)),
    {
      deadlines: { betweenTokensMs: model.deadlines.betweenTokens, totalMs: model.deadlines.total },
      arrivedAtMs: call.arrivedAtMs,
      heartbeatMs: model.heartbeat,
      voice: question.wording.voice(),
      carryOn: carryOnOf(asking, making, exchange.signal),
      hangUp: () => exchange.abort(),
      now: Date.now,
    },
  );
  const { body, ended: end, firstContentAtMs } = relayed;
  // From here on the relay knows the right moment to hang up.
  leave = relayed.leave;
  // Anchored as well, before the response is returned.
  call.defer(
    end.then(async (how) => {
      const result = await asked;
      // Who leaves between two parts has had another host asked.
      await making.asking;
      settleBehind(call, lease, endOf(asking, making, result, how, firstContentAtMs()));
    }),
  );
  if (!(await lease.confirmed)) {
    await body.cancel();
    throw new Problem("limits_unavailable", LEASE_NOT_DURABLE);
  }
  return new Response(body, {
    headers: {
      ...headers,
      ...provenance(asking, making.seats[0] ?? null),
      "content-type": "text/event-stream; charset=utf-8",
      "x-accel-buffering": "no",
    },
  });
}

/** Gives the slot back and says what it was. */
function endOf(
  asking: Asking,
  { seats, stream: last, attempts, wastedTokens }: Making,
  result: Attempt<Seat, Source>,
  how: RelayEnd,
  firstContentAtMs: number | null,
): InferenceEvent {
  if (result.kind !== "answered") {
    const outcome = how.kind === "upstream_error" ? failureOf(result) : how.kind;
    return ended(asking, madeInVain(result), outcome, workedUnseen(result) ? NOTHING_YET : null, null, null);
  }
  const seat = seats.at(-1) ?? result.by;
  const stream = last ?? result.answer.stream;
  release(asking, seat, how.kind, stream.part, seats.length === 1 ? firstContentAtMs : null);
  const unseenTokens = how.kind === "client_left" ? how.unseenTokens : 0;
  const made = {
    by: seat,
    attempts,
    hosts: seats.map(({ host }) => host.id),
    wastedTokens: wastedTokens === null ? null : wastedTokens + unseenTokens,
  };
  return ended(asking, made, how.kind, stream.tally, firstContentAtMs, asking.model.storeContent ? stream.text : null);
}

/** What an error within the stream stands for. */
function failureOf(
  result: Exclude<Attempt<Seat, unknown>, { kind: "answered" }>,
): "rejected" | "shed" | "upstream_error" {
  if (result.kind === "rejected") return "rejected";
  return result.kind === "failed" && wasShed(result) ? "shed" : "upstream_error";
}

/** What is known of the answer while it flows, so that little is lost with an isolate that dies. */
function progressOf({ draft }: Asking, { seats, stream, attempts }: Making): Progress {
  const seat = seats.at(-1);
  if (seat === undefined || stream === null) return {};
  const { tally } = stream;
  return {
    host: seat.host.id,
    servedAs: seat.served.as,
    attempts,
    promptTokens: tally.promptTokens ?? draft.promptTokens,
    completionTokens: tokensOf(tally),
  };
}

function sourceOf(result: Attempt<Seat, Source>): Source {
  if (result.kind === "answered") return result.answer;
  throw result.kind === "client_left" ? new Problem("upstream_error") : result.problem;
}
