/** A streamed answer: the host's events, relayed. Its lease is settled exactly once, on every way out. */
import type { Progress } from "#src/limits/leases.ts";
import { Problem } from "#src/problem.ts";
import type { Attempt } from "#src/upstream/attempt.ts";
import { openStream } from "#src/upstream/exchange.ts";
import { HEARTBEAT_MS } from "#src/upstream/heartbeat.ts";
import { relay, type Source } from "#src/upstream/relay.ts";
import { NOTHING_YET } from "#src/upstream/tally.ts";
import {
  type Asking,
  askHosts,
  before,
  ended,
  LEASE_NOT_DURABLE,
  provenance,
  release,
  unanswered,
  wasShed,
  workedUnseen,
} from "./ask-hosts.ts";
import type { Seat } from "./choose-host.ts";
import { settleBehind } from "./settle.ts";

/** A silent host commits the stream after one heartbeat, so that a caller who has left is noticed from then on. */
const COMMIT_AFTER_MS = HEARTBEAT_MS;

/** What has come of a question before its response is on its way. */
type Opening = {
  /** From then on the relay tells how it ends. */
  isCommitted: boolean;
  refusal: Problem | null;
  by: Seat | null;
};

/** Answers with an event stream. */
export async function answerStreamed(asking: Asking): Promise<Response> {
  const { call, question, model, lease, headers } = asking;
  const exchange = new AbortController();
  let leave = (): unknown => exchange.abort();
  if (call.request.signal.aborted) exchange.abort();
  call.request.signal.addEventListener("abort", () => leave());
  const { firstToken, betweenTokens, total } = model.deadlines;
  const asked = askHosts<Source>(asking, openStream, firstToken, exchange.signal);
  lease.hold(progressOf(asking, asked));
  const opening: Opening = { isCommitted: false, refusal: null, by: null };
  // Anchored from the start: a caller who leaves while it waits in line must be settled, and takes down what is not.
  const opened = asked.then((result) => {
    if (result.kind === "answered") opening.by = result.by;
    else if (!opening.isCommitted) opening.refusal = unanswered(asking, result);
  });
  call.defer(opened);
  await before(COMMIT_AFTER_MS, opened);
  if (opening.refusal !== null) throw opening.refusal;
  opening.isCommitted = true;

  const relayed = relay(asked.then(sourceOf), {
    deadlines: { betweenTokensMs: betweenTokens, totalMs: total },
    voice: question.wording.voice(),
    hangUp: () => exchange.abort(),
    now: Date.now,
  });
  const { body, ended: end, firstContentAtMs } = relayed;
  // From here on the relay knows the right moment to hang up.
  leave = relayed.leave;
  // Anchored as well, before the response is returned.
  call.defer(
    end.then(async (how) => {
      const result = await asked;
      const stream = result.kind === "answered" ? result.answer.stream : null;
      if (result.kind === "answered")
        release(asking, result.by, how.kind, result.answer.stream.tally, firstContentAtMs());
      const outcome = how.kind === "upstream_error" ? failureOf(result) : how.kind;
      const unseen = result.kind !== "answered" && workedUnseen(result) ? NOTHING_YET : null;
      const event = ended(asking, result, outcome, stream?.tally ?? unseen, firstContentAtMs(), stream?.text ?? null);
      settleBehind(call, lease, event);
    }),
  );
  if (!(await lease.confirmed)) {
    await body.cancel();
    throw new Problem("limits_unavailable", LEASE_NOT_DURABLE);
  }
  return new Response(body, {
    headers: {
      ...headers,
      ...provenance(asking, opening.by),
      "content-type": "text/event-stream; charset=utf-8",
      "x-accel-buffering": "no",
    },
  });
}

/** What an error within the stream stands for. */
function failureOf(result: Attempt<Seat, Source>): "rejected" | "shed" | "upstream_error" {
  if (result.kind === "rejected") return "rejected";
  return result.kind === "failed" && wasShed(result) ? "shed" : "upstream_error";
}

/** What is known of the answer while it flows, so that little is lost with an isolate that dies. */
function progressOf({ draft }: Asking, asked: Promise<Attempt<Seat, Source>>): () => Progress {
  let result: Attempt<Seat, Source> | null = null;
  asked.then(
    (settled) => {
      result = settled;
    },
    () => undefined,
  );
  return () => {
    if (result?.kind !== "answered") return {};
    const { by, attempts, answer } = result;
    const { promptTokens, completionTokens, contentPieces } = answer.stream.tally;
    return {
      host: by.host.id,
      servedAs: by.served.as,
      attempts,
      promptTokens: promptTokens ?? draft.promptTokens,
      completionTokens: completionTokens ?? contentPieces,
    };
  };
}

function sourceOf(result: Attempt<Seat, Source>): Source {
  if (result.kind === "answered") return result.answer;
  throw result.kind === "client_left" ? new Problem("upstream_error") : result.problem;
}
