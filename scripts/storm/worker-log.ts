/** What the Worker's log says of the mischief that was done (mischief.ts). A log ends with the Worker that wrote it. */
import { readFileSync } from "node:fs";
import { z } from "zod";

const line = z.object({
  at: z.literal("storm"),
  deliveries: z.number(),
  duplicates: z.number(),
  crashed: z.boolean(),
});

export type Mischief = { batches: number; deliveries: number; duplicates: number; crashes: number };

export class WorkerLog {
  readonly #path: string;
  readonly mischief: Mischief = { batches: 0, deliveries: 0, duplicates: 0, crashes: 0 };

  constructor(path: string) {
    this.#path = path;
  }

  /** Adds what the log says. To be called once for every Worker, when it has ended or will do nothing more. */
  read(): void {
    for (const text of readFileSync(this.#path, "utf8").split("\n")) {
      if (!text.startsWith('{"at":"storm"')) continue;
      const { deliveries, duplicates, crashed } = line.parse(JSON.parse(text));
      this.mischief.batches += 1;
      this.mischief.deliveries += deliveries;
      this.mischief.duplicates += duplicates;
      this.mischief.crashes += crashed ? 1 : 0;
    }
  }
}
