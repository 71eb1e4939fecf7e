// What a storm is made of: questions by chance, the same again for the same seed.
import { expect, test } from "vitest";
import { stormCatalog } from "#scripts/storm/catalog.ts";
import { seeded } from "#scripts/storm/chance.ts";
import { question } from "#scripts/storm/question.ts";
import { FULL, LEAVING } from "#scripts/storm/scale.ts";

const questions = (seed: number, count: number) => {
  const chance = seeded(seed);
  return Array.from({ length: count }, (_, number) => question(number, chance));
};

test("the same seed asks the same, another one asks otherwise", () => {
  expect(questions(1, 50)).toEqual(questions(1, 50));
  expect(questions(2, 50)).not.toEqual(questions(1, 50));
});

test("of ten thousand, every caller and every model is among them, and one in ten leaves", () => {
  const asked = questions(3, 10_000);
  expect(new Set(asked.map(({ caller }) => caller)).size).toBe(6);
  const asks = stormCatalog().models.filter(({ kind }) => kind === "generation" || kind === "embedding");
  expect(new Set(asked.map(({ body }) => body.model))).toEqual(new Set(asks.map(({ id }) => id)));
  const leaving = asked.filter(({ leavesAfterMs }) => leavesAfterMs !== null);
  expect(leaving.every(({ stream }) => stream)).toBe(true);
  // Eight standard deviations to either side.
  expect(Math.abs(leaving.length / asked.length - LEAVING)).toBeLessThan(0.025);
});

test("the full storm is the one that was promised", () => {
  expect(FULL).toMatchObject({
    requests: 10_000,
    kills: { count: 20 },
    mischief: { duplicates: 0.1, crashes: 0.05 },
    postgresDown: { forMs: 5 * 60_000 },
  });
});
