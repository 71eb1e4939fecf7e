/** Chance that can be had again: the same numbers for the same seed. */
import { spread } from "#scripts/lab/hash.ts";

/** A number that no small seed shares with its neighbour (2³² divided by the golden ratio, made odd). */
const STRIDE = 0x9e3779b1;

/** @returns a function that yields the next number of [0, 1) */
export function seeded(seed: number): () => number {
  let state = Math.imul(seed, STRIDE);
  return () => {
    state = (state + STRIDE) | 0;
    return spread(state) / 2 ** 32;
  };
}

/** One of several. */
export function oneOf<T>(things: readonly [T, ...T[]], chance: () => number): T {
  return things[Math.floor(chance() * things.length)] ?? things[0];
}
