/** Chance that comes again by its seed: numbers from 0 to 1, evenly. A linear congruential generator is enough for schedules. */
export function chanceOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    // The low bits of such a generator hardly change: two draws make one.
    const high = state >>> 16;
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (high * 65_536 + (state >>> 16)) / 4_294_967_296;
  };
}
