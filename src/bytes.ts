/** Joining and bounding bytes. Imports nothing. */

/** Joins pieces into one array; a single piece is returned as it is. */
export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  if (pieces.length === 1 && only !== undefined) return only;
  const whole = new Uint8Array(pieces.reduce((bytes, piece) => bytes + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

/**
 * Reads a body to its end, counting what arrives: a declared length may lie or be missing.
 *
 * @returns null when there are more than `maxBytes`; the rest is then cancelled unread
 */
export async function readBounded(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<Uint8Array | null> {
  const pieces: Uint8Array[] = [];
  let seenBytes = 0;
  for await (const piece of body ?? []) {
    seenBytes += piece.byteLength;
    if (seenBytes > maxBytes) return null;
    pieces.push(piece);
  }
  return concat(pieces);
}
