/** The ladder as it was recorded: what later ones are compared with. */
import { readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { Refusal } from "#scripts/stack/refusal.ts";
import { inRepository } from "#scripts/stack/repository.ts";
import type { Measured } from "./figures.ts";
import type { LadderName } from "./ladders.ts";

const positive = z.number().positive();
const ladder = z.strictObject({
  /** CPU of bare workerd, in µs: what it was worth on that machine. */
  bareUs: positive,
  /** All up to a rung, by bare workerd, by the rung's name. */
  ratios: z.record(z.string(), positive),
});

export const recorded = z.strictObject({
  machine: z.strictObject({
    cores: z.number().int().positive(),
    cpu: z.string(),
    kernel: z.string(),
    disk: z.string(),
    node: z.string(),
    workerd: z.string(),
  }),
  rounds: z.number().int().positive(),
  requests: ladder,
  streams: ladder,
});
export type Recorded = z.infer<typeof recorded>;

const FILE = inRepository("scripts", "bench", "ladder", "recorded.json");

/** @throws Refusal when there is none, or what is there is none */
export function readRecorded(file = FILE): Recorded {
  try {
    return recorded.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new Refusal(1, `There is no recorded ladder to compare with: ${reason}\nMake one by --record.`);
  }
}

/** @throws Error when one of the ladders was not measured */
export function recordOf(
  machine: Recorded["machine"],
  rounds: number,
  measured: ReadonlyMap<LadderName, Measured>,
): Recorded {
  const of = (name: LadderName): Recorded[LadderName] => {
    const one = measured.get(name);
    if (one === undefined) throw new Error(`the ladder of ${name} was not measured`);
    const ratios = Object.fromEntries(one.figures.map(({ name: rung, ratio }) => [rung, rounded(ratio)]));
    return { bareUs: rounded(one.bareUs), ratios };
  };
  return { machine, rounds, requests: of("requests"), streams: of("streams") };
}

/** @returns where it was written */
export function writeRecorded(record: Recorded, file = FILE): string {
  writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`);
  return file;
}

function rounded(figure: number): number {
  return Number(figure.toFixed(2));
}
