/** Tries until there is a value that is not undefined. */
export async function eventually<T>(
  look: () => Promise<T | undefined>,
  otherwise: string,
  withinMs = 20_000,
): Promise<T> {
  const lastMs = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > lastMs) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
