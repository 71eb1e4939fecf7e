/** What is asked: a chat whose answer has a known length. Pure. */

/** More than any answer here has: none is cut short. */
const MOST_TOKENS = 200;

type Talk = {
  readonly model: string;
  readonly text: string;
  /** Of the answer: the lab obeys. */
  readonly tokens: number;
  readonly stream?: boolean;
};

export function talk({ model, text, tokens, stream = true }: Talk): Readonly<Record<string, unknown>> {
  const messages = [{ role: "user", content: `${text} [[tokens=${tokens}]]` }];
  const common = { model, messages, max_tokens: MOST_TOKENS };
  return stream ? { ...common, stream, stream_options: { include_usage: true } } : common;
}
