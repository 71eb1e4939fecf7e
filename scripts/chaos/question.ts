/** What is asked: a chat whose answer has a known length. Pure. */

/** More than answers have where nothing else is said. */
const MOST_TOKENS = 200;

type Talk = {
  readonly model: string;
  readonly text: string;
  /** Of the answer: the lab obeys. */
  readonly tokens: number;
  readonly stream?: boolean;
  /** More than the answer has: none is cut short. */
  readonly most?: number;
};

export function talk({
  model,
  text,
  tokens,
  stream = true,
  most = MOST_TOKENS,
}: Talk): Readonly<Record<string, unknown>> {
  const messages = [{ role: "user", content: `${text} [[tokens=${tokens}]]` }];
  const common = { model, messages, max_tokens: most };
  return stream ? { ...common, stream, stream_options: { include_usage: true } } : common;
}
