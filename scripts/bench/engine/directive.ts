/** How the bench's engine is to answer: the caller says it at the end of its question. Pure. */

export type Directive = {
  /** Tokens of the answer; a stream has one event for each. */
  readonly tokens: number;
  /** Before the first of them, in ms. */
  readonly firstMs: number;
  /** Between two of a stream, in ms; 0 for all of them at once. */
  readonly gapMs: number;
};

const SAID = /\[\[tokens=(\d+) first=(\d+) gap=(\d+)\]\]/;

export function directiveText({ tokens, firstMs, gapMs }: Directive): string {
  return `[[tokens=${tokens} first=${firstMs} gap=${gapMs}]]`;
}

/** @returns one token at once where nothing was said, as a probe asks for */
export function directiveIn(text: string): Directive {
  const [, tokens, firstMs, gapMs] = SAID.exec(text) ?? [];
  return { tokens: Number(tokens ?? 1), firstMs: Number(firstMs ?? 0), gapMs: Number(gapMs ?? 0) };
}
