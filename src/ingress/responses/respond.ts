/** The conductor of `/v1/responses`: an inference like any other, whose problems name the caller's own fields. */
import { asProblem } from "#src/problem.ts";
import type { KnownCall } from "../call.ts";
import { generate } from "../generate.ts";
import { inOwnWords } from "./field-names.ts";
import { responsesQuestion } from "./question.ts";

/**
 * Answers one request for a response.
 *
 * @throws Problem for every refusal and for failures before the first byte
 */
export async function respond(call: KnownCall): Promise<Response> {
  const createdS = Math.floor(call.arrivedAtMs / 1_000);
  try {
    return await generate(call, (document) => responsesQuestion(document, call.requestId, createdS));
  } catch (thrown) {
    throw inOwnWords(asProblem(thrown));
  }
}
