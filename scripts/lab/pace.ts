// How fast a host is, changeable while it runs (POST /lab/pace). Plain data.
import { BadField, count, type Json, number } from "./fields.ts";

export interface Pace {
  ttftMs: number;
  tokensPerSecond: number;
  slots: number;
  /** undefined: waits without limit, as both engines do by default. */
  maxQueued: number | undefined;
}

/** Applies the members given; `maxQueued: null` lifts the bound. @throws BadField */
export function changePace(pace: Pace, body: Json): void {
  const ttftMs = number(body, "ttftMs") ?? pace.ttftMs;
  const tokensPerSecond = number(body, "tokensPerSecond") ?? pace.tokensPerSecond;
  if (ttftMs < 0) throw new BadField("ttftMs", "ttftMs must be at least 0");
  if (tokensPerSecond <= 0) throw new BadField("tokensPerSecond", "tokensPerSecond must be above 0");
  const slots = count(body, "slots", 1) ?? pace.slots;
  const maxQueued = body.maxQueued === undefined ? pace.maxQueued : (count(body, "maxQueued", 0) ?? undefined);
  Object.assign(pace, { ttftMs, tokensPerSecond, slots, maxQueued });
}
