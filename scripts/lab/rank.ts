// How well a lab model finds that a text fits a query: the share of the query's words in it, moved a little by the text
// itself, so that no two are equal. Pure.
import { fold, spread } from "./hash.ts";

const words = (text: string): string[] => text.toLowerCase().match(/\p{L}+/gu) ?? [];

/** Between 0 and 1, the same on every host of one weights family. */
export function relevance(query: string, text: string, weights: string): number {
  const asked = words(query);
  const found = new Set(words(text));
  const share = asked.filter((word) => found.has(word)).length / Math.max(1, asked.length);
  const mood = spread(fold(fold(0x811c9dc5, weights), text)) / 2 ** 32;
  return Math.fround(0.9 * share + 0.1 * mood);
}
