// The conductor of rerank requests, which both engines have: each text is read together with the query, in one pass.
import { type EmbedAsk, embed } from "./embed.ts";
import type { Exchange } from "./exchange.ts";
import { BadField, count, text, texts } from "./fields.ts";
import type { Machine } from "./machine.ts";
import { relevance } from "./rank.ts";

export interface Rank {
  readonly index: number;
  readonly text: string;
  readonly score: number;
}

/** Answers a rerank request in its turn, the best first. False when the line is full. @throws BadField */
export function runRerank(
  machine: Machine,
  exchange: Exchange,
  way: Pick<EmbedAsk, "id" | "model" | "headers" | "errorBody">,
  bodyOf: (ranks: readonly Rank[], promptTokens: number) => unknown,
): boolean {
  const { body } = exchange;
  if (body.query === undefined) throw new BadField("query", "Field required", true);
  if (!Array.isArray(body.documents)) throw new BadField("documents", "Field required", true);
  const query = text(body, "query", "");
  const documents = texts(body, "documents");
  const ranks = documents
    .map(
      (said, index): Rank => ({ index, text: said, score: relevance(query, said, machine.options.weights ?? "lab") }),
    )
    .sort((a, b) => b.score - a.score);
  const asked = count(body, "top_n", 0) ?? 0;
  const best = asked > 0 ? ranks.slice(0, asked) : ranks;
  const inputs = documents.map((said) => `${query}\n${said}`);
  return embed(machine, exchange, { ...way, inputs, whole: (promptTokens) => bodyOf(best, promptTokens) });
}
