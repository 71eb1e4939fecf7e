/**
 * `POST /v1/feedback`: what a caller thought of an answer it got. It goes the way of every event, through the caller's own
 * outbox, and is durable when the caller hears 201. The newest word on a request is the one that counts.
 *
 * Only the request's own caller may, and nobody else learns that there is such a request.
 */
import { z } from "zod";
import { readRequestOwner } from "#src/postgres/request-owner.ts";
import { Problem } from "#src/problem.ts";
import type { FeedbackEvent } from "#src/usage/event.ts";
import { uuidv7 } from "#src/uuid.ts";
import { within } from "#src/within.ts";
import { askDatabase } from "./ask-database.ts";
import { readJson } from "./body.ts";
import type { KnownCall } from "./call.ts";
import { membersOf, wrongField } from "./fields.ts";

/** The longest comment, and every character of it escaped as a surrogate pair, 12 bytes. */
const MAX_BODY_BYTES = 64 * 1024;
const LONGEST_COMMENT = 4_000;

/** A settled event is in the ledger after two or three seconds; a queue that is behind has this long before a look is final. */
const YOUNG_MS = 60_000;
/** Isolates' clocks differ by this much at most. */
const CLOCK_SKEW_MS = 5_000;
const YOUNG_RETRY_AFTER_S = 2;

/** An object answers within a few ms. */
const SETTLE_WITHIN_MS = 5_000;
const RETRY_AFTER_S = 2;

const feedback = z.strictObject({
  request_id: z.uuid("the x-request-id of an answer"),
  satisfaction: z.number().int().min(1).max(10).nullable().default(null),
  accuracy: z.number().min(0).max(1).nullable().default(null),
  comment: z
    .string()
    .regex(new RegExp(`^.{1,${LONGEST_COMMENT}}$`, "su"), `1 to ${LONGEST_COMMENT} characters`)
    .nullable()
    .default(null),
});

/**
 * Takes feedback on one of the caller's own requests.
 *
 * @throws Problem for a wrong body; `request_not_found`, with a Retry-After while the request may still be on its way to
 *   the ledger; `unavailable` when Postgres cannot be reached within a second, or the outbox cannot
 */
export async function giveFeedback(call: KnownCall): Promise<Response> {
  const { document } = await readJson(call.request, MAX_BODY_BYTES);
  const { request_id, ...said } = membersOf(feedback, document);
  if (Object.values(said).every((value) => value === null))
    throw wrongField("satisfaction", "one of satisfaction, accuracy and comment at least");
  const { accountId, userId } = call.principal;
  const requestId = request_id.toLowerCase();
  await refuseOthers(call, requestId);
  const nowMs = call.arrivedAtMs;
  const id = uuidv7(nowMs);
  const event: FeedbackEvent = {
    v: 1,
    kind: "feedback",
    id,
    atMs: nowMs,
    requestId,
    account: accountId,
    userId,
    ...said,
  };
  await within(SETTLE_WITHIN_MS, call.env.ACCOUNT.getByName(accountId).settle(event)).catch((cause: unknown) => {
    throw new Problem("unavailable", { retryAfterS: RETRY_AFTER_S, cause });
  });
  return Response.json({ id, object: "feedback", request_id: requestId, ...said }, { status: 201 });
}

/** Passes the caller's own request. One of somebody else and one that is not there are answered alike. */
async function refuseOthers(call: KnownCall, id: string): Promise<void> {
  const mintedAtMs = mintedAtMsOf(id);
  const owner =
    mintedAtMs === null ? null : await askDatabase(call, (session) => readRequestOwner(session, id, mintedAtMs));
  if (owner === call.principal.accountId) return;
  const ageMs = mintedAtMs === null ? Number.POSITIVE_INFINITY : call.arrivedAtMs - mintedAtMs;
  // An SDK that is told so waits and asks again.
  const wait = { retryAfterS: YOUNG_RETRY_AFTER_S, headers: { "x-should-retry": "true" } };
  throw new Problem("request_not_found", {
    param: "request_id",
    ...(ageMs < YOUNG_MS && ageMs > -CLOCK_SKEW_MS ? wait : {}),
    // The audit trail tells them apart.
    ...(owner === null ? {} : { withheld: "/v1/feedback" }),
  });
}

/** The time in an id of ours (RFC 9562, UUIDv7), ms since the epoch; null for an id of another kind. */
function mintedAtMsOf(id: string): number | null {
  return z.uuidv7().safeParse(id).success ? Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16) : null;
}
