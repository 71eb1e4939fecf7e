/** A whole input file: all of its lines, or what is wrong with them. Nothing is run of a file with a wrong line. Pure. */
import type { LineError } from "./batch.ts";
import type { Waiting } from "./batch-store.ts";
import { type Endpoint, isError, readLine } from "./input-line.ts";

/** A request's body has 1 MiB at most (`ingress/body.ts`). Longer lines are not parsed: JSON takes many times its size. */
const LONGEST_LINE_BYTES = 1024 * 1024 + 16 * 1024;
/** A caller mends the first ones, and sees whether there are more. */
const MOST_ERRORS = 100;

/**
 * Checks a file line by line.
 *
 * @param lineOf the bytes of a line, from 1; null behind the last
 * @returns lines to run, blank ones left out, and at most 100 errors
 */
export function checkFile(
  lineOf: (line: number) => Uint8Array | null,
  endpoint: Endpoint,
): { lines: readonly Waiting[]; errors: readonly LineError[] } {
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  const lines: Waiting[] = [];
  const errors: LineError[] = [];
  const seen = new Map<string, number>();
  for (let number = 1; errors.length < MOST_ERRORS; number++) {
    const bytes = lineOf(number);
    if (bytes === null) break;
    if (bytes.byteLength > LONGEST_LINE_BYTES) {
      const message = `This line is longer than ${LONGEST_LINE_BYTES} bytes.`;
      errors.push({ code: "line_too_long", message, param: null, line: number });
      continue;
    }
    const text = decoded(utf8, bytes)?.trim();
    if (text === "") continue;
    const line = readLine(text ?? "", number, endpoint);
    if (isError(line)) {
      errors.push(line);
      continue;
    }
    const { customId, model } = line;
    const first = seen.get(customId);
    if (first === undefined) lines.push({ line: number, customId, model });
    else {
      const message = `custom_id: must be unique, and stands in line ${first} already.`;
      errors.push({ code: "duplicate_custom_id", message, param: "custom_id", line: number });
    }
    seen.set(customId, first ?? number);
  }
  if (lines.length === 0 && errors.length === 0)
    errors.push({ code: "empty_file", message: "The input file holds no request.", param: null, line: null });
  return { lines, errors };
}

/** Null for what is no UTF-8, which is no JSON either. */
function decoded(utf8: TextDecoder, bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}
