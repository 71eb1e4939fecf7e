// The incremental hash behind every "random" choice of the lab: equal strings hash equally however they were built up.

/** Folds more text into a running state (FNV-1a over UTF-16 units); fold(fold(s, a), b) equals fold(s, a + b). */
export function fold(state: number, text: string): number {
  let folded = state;
  for (let index = 0; index < text.length; index += 1) folded = Math.imul(folded ^ text.charCodeAt(index), 0x01000193);
  return folded >>> 0;
}

/** A well mixed unsigned 32-bit number from a state (the finaliser of MurmurHash3: FNV's low bits alone are weak). */
export function spread(state: number): number {
  let mixed = state ^ (state >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
