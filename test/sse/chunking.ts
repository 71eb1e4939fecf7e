/** How bytes may be cut on their way: what the network does to an event stream. */
import fc from "fast-check";

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (...pieces: readonly Uint8Array[]): string =>
  new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(joined(pieces));

/** The pieces as one array. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((bytes, piece) => bytes + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

/** Chunks of this size, the last one smaller; each with a buffer of its own, as reads from a socket are. */
export function chunksOf(bytes: Uint8Array, size: number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += size) chunks.push(bytes.slice(at, at + size));
  return chunks;
}

/** Cuts bytes in any way: singly, whole, and all between; empty chunks too. */
export const cuts: fc.Arbitrary<(bytes: Uint8Array) => Uint8Array[]> = fc.oneof(
  fc.constantFrom(1, 2, 3, 7, 64, 1_000_000).map((size) => (bytes: Uint8Array) => chunksOf(bytes, size)),
  fc.array(fc.nat(), { maxLength: 24 }).map((marks) => (bytes: Uint8Array) => {
    const places = marks.map((mark) => mark % (bytes.byteLength + 1)).sort((left, right) => left - right);
    return [0, ...places].map((from, index) => bytes.slice(from, places[index] ?? bytes.byteLength));
  }),
);
