import { expect, test } from "vitest";
import { counts } from "#src/upstream/tally.ts";

const told = (promptTokens: number, completionTokens: number, cachedTokens: number | null = null) => {
  return { promptTokens, completionTokens, cachedTokens };
};
const details = (prompt_tokens_details: unknown) => ({
  usage: { prompt_tokens: 5, completion_tokens: 2, prompt_tokens_details },
});

test.each([
  { name: "usage", document: { usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } }, is: told(5, 2) },
  { name: "an embedding's usage", document: { usage: { prompt_tokens: 5, total_tokens: 5 } }, is: told(5, 0) },
  { name: "usage with null", document: { usage: { prompt_tokens: 5, completion_tokens: null } }, is: told(5, 0) },
  { name: "usage of zero", document: { usage: { prompt_tokens: 0, completion_tokens: 0 } }, is: told(0, 0) },
  { name: "timings", document: { timings: { prompt_n: 5, predicted_n: 2 } }, is: told(5, 2) },
  {
    name: "timings with a cache",
    document: { timings: { prompt_n: 1, predicted_n: 2, cache_n: 4 } },
    is: told(5, 2, 4),
  },
  {
    name: "both: usage",
    document: { usage: { prompt_tokens: 9, completion_tokens: 3 }, timings: { prompt_n: 1, predicted_n: 2 } },
    is: told(9, 3),
  },
  {
    name: "broken usage beside timings",
    document: { usage: { prompt_tokens: "9" }, timings: { prompt_n: 1, predicted_n: 2 } },
    is: told(1, 2),
  },
  { name: "a cache's part", document: details({ cached_tokens: 4 }), is: told(5, 2, 4) },
  { name: "no part from the cache, which is not unknown", document: details({ cached_tokens: 0 }), is: told(5, 2, 0) },
  { name: "a cache's part of null", document: details({ cached_tokens: null }), is: told(5, 2) },
  { name: "details of null", document: details(null), is: told(5, 2) },
  { name: "details of another type", document: details("4"), is: told(5, 2) },
  { name: "a cache's part of another type", document: details({ cached_tokens: "4" }), is: told(5, 2) },
  { name: "a cache's part below zero", document: details({ cached_tokens: -4 }), is: told(5, 2) },
  {
    name: "the cache's part in the timings, beside usage that lacks it",
    document: { ...details(null), timings: { prompt_n: 1, predicted_n: 2, cache_n: 4 } },
    is: told(5, 2, 4),
  },
  {
    name: "the cache's part in both: usage",
    document: { ...details({ cached_tokens: 3 }), timings: { prompt_n: 1, predicted_n: 2, cache_n: 4 } },
    is: told(5, 2, 3),
  },
  { name: "null", document: { usage: null, timings: null }, is: null },
  { name: "nothing", document: {}, is: null },
  { name: "less than zero", document: { timings: { prompt_n: -1, predicted_n: 2 } }, is: null },
  { name: "a fraction", document: { usage: { prompt_tokens: 1.5, completion_tokens: 2 } }, is: null },
  { name: "text", document: "usage", is: null },
  { name: "null for a document", document: null, is: null },
])("$name", ({ document, is }) => {
  expect(counts(document)).toEqual(is);
});
