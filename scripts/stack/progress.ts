/** One line per step, in a fixed order, however the steps overlap. */

export type Print = (line: string) => void;

/**
 * Reports a step that is under way.
 *
 * @param work the step's result and the text to show for it
 * @returns a function that waits for the step and prints its line; call it when the step's turn has come
 */
export function step<T>(print: Print, name: string, work: Promise<{ value: T; text: string }>): () => Promise<T> {
  const startedAt = performance.now();
  const timed = work.then((done) => ({ ...done, seconds: (performance.now() - startedAt) / 1_000 }));
  // A step may fail before its turn; it is reported when its turn comes, and is not unhandled until then.
  timed.catch(() => {});
  return async () => {
    const { value, text, seconds } = await timed;
    print(`  ${name.padEnd(11)} ${text.padEnd(48)} ${seconds.toFixed(1)} s`);
    return value;
  };
}
