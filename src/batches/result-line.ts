/** The lines of output and error files, in OpenAI's shape. Pure. */
import type { Outcome } from "./batch.ts";

/** What came of running a line. */
export type Answered = {
  readonly outcome: Outcome;
  readonly status: number;
  /** The response's body, a JSON document. */
  readonly body: string;
};

/** Why a line was never run. */
export const UNRUN = {
  completed: null,
  expired: {
    code: "batch_expired",
    message: "This request could not be executed before the completion window expired.",
  },
  cancelled: { code: "batch_cancelled", message: "This request was not executed: the batch was cancelled." },
} as const;

/** A larger answer is not kept: a stored value holds 2 MB, and an account has a bounded shelf. */
export const LARGEST_RESULT = 4_000_000;

/** A line that was run. @param requestId the answer's `x-request-id`, which is the ledger's key as well */
export function ranLine(customId: string, requestId: string, { status, body }: Answered): string {
  const head = JSON.stringify({ id: resultId(requestId), custom_id: customId });
  // Made by hand, because the body is JSON already, and may be large.
  const response = `{"status_code":${status},"request_id":${JSON.stringify(requestId)},"body":${body}}`;
  return `${head.slice(0, -1)},"response":${response},"error":null}\n`;
}

/** A line that was not, or whose answer was lost. */
export function unrunLine(
  customId: string,
  requestId: string,
  error: { readonly code: string; readonly message: string },
): string {
  return `${JSON.stringify({ id: resultId(requestId), custom_id: customId, response: null, error })}\n`;
}

function resultId(requestId: string): string {
  return `batch_req_${requestId.replaceAll("-", "")}`;
}
