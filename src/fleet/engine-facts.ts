/**
 * What engines tell of themselves in JSON: names that they serve, slots, and how many of these are at work. Pure; null
 * for what an answer does not tell, whatever it holds.
 */
import { z } from "zod";

/** A list that goes on elsewhere is no list of what there is. */
const modelList = z.object({
  data: z.array(z.object({ id: z.string() })),
  has_more: z.literal(false).nullish(),
});
const props = z.object({ total_slots: z.number().int().positive().max(100_000) });
const slotList = z.array(z.object({ is_processing: z.boolean() })).min(1);

/** The names of `GET /v1/models`. */
export function servedNames(text: string): string[] | null {
  return read(modelList, text)?.data.map(({ id }) => id) ?? null;
}

/** Requests that llama.cpp works on at once, of `GET /props`. */
export function totalSlots(text: string): number | null {
  return read(props, text)?.total_slots ?? null;
}

/** Requests that llama.cpp works on now, of `GET /slots`. The list may hold prompts: nothing else of it is kept. */
export function busySlots(text: string): number | null {
  return read(slotList, text)?.filter(({ is_processing }) => is_processing).length ?? null;
}

function read<T>(shape: z.ZodType<T>, text: string): T | null {
  try {
    return shape.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
