/**
 * Weighted rendezvous hashing: a key's own order among names, each of them first for its part of all keys. A name that
 * goes leaves its keys to the others and moves none between those. Pure; keeps nothing.
 *
 * Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998 (highest random weight); weights by the
 * logarithm: Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005.
 */

/** FNV-1a's offset basis. Another one makes another hash. */
const BASIS = 0x811c9dc5;

/**
 * 32 bits of a text: FNV-1a over UTF-16 units, then MurmurHash3's finalizer, without which texts that are alike hash
 * alike. Not for secrets: whoever chooses the text can choose the hash.
 */
export function hash32(text: string, basis: number = BASIS): number {
  let bits = basis;
  for (let at = 0; at < text.length; at++) bits = Math.imul(bits ^ text.charCodeAt(at), 0x01000193);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/**
 * What a name draws for a key: the lowest comes first. Exponential at the rate of the weight, so that each name is the
 * lowest for its part of the keys.
 *
 * @param weight more than 0
 */
export function drawOf(key: string, name: string, weight: number): number {
  const uniform = (hash32(`${key}\n${name}`) + 0.5) / 2 ** 32;
  return -Math.log(uniform) / weight;
}
