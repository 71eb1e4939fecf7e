/** The engine itself: what all others add is measured from here. Its own time is not looked at. */
import type { Contestant } from "./contestant.ts";

export const direct: Contestant = {
  name: "direct",
  start: async ({ engine }) => ({
    what: "no gateway",
    url: `${engine}/v1/chat/completions`,
    headers: {},
    groups: [],
  }),
};
