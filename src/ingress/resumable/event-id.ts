/**
 * The ids of a resumable stream's events: `<stream>:<n>`. They name the stream as well, so that a client which repeats its
 * request with the last id that it saw, as the SSE standard has it, says by that alone where to go on. Pure.
 */
import { z } from "zod";

/** A place in a stream: behind its event `n`; 0 is its beginning. */
export type Place = { readonly stream: string; readonly n: number };

/** No stream has a billion events, and none of these loses a digit. */
const PLACE = /^(?:(?<stream>[0-9a-f-]{36}):)?(?<n>0|[1-9]\d{0,8})$/i;

/** A stream's name, which is the id of the request that began it; null for what cannot be one. */
export function streamOf(text: string): string | null {
  const id = text.toLowerCase();
  return z.uuidv7().safeParse(id).success ? id : null;
}

export function eventId({ stream, n }: Place): string {
  return `${stream}:${n}`;
}

/**
 * The place that an event's id stands for.
 *
 * @param stream the one that a bare number is meant of; null where an id must name it
 * @returns null for what is no such id, or one of another stream
 */
export function placeOf(text: string, stream: string | null): Place | null {
  const groups = PLACE.exec(text)?.groups;
  if (groups?.n === undefined) return null;
  const named = groups.stream === undefined ? stream : streamOf(groups.stream);
  if (named === null || (stream !== null && named !== stream)) return null;
  return { stream: named, n: Number(groups.n) };
}
