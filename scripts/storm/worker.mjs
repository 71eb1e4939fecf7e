/**
 * The gateway's Worker in a storm: its own handlers, with mischief between them and the platform, and one route by which
 * the storm puts messages into the queue that are no events. Only `npm run storm` runs it (config.ts).
 * Plain JavaScript, because it belongs to workerd, whose types the scripts do not have.
 */
import gateway from "#src/index.ts";
import { mischievous } from "./mischief.ts";

export * from "#src/index.ts";

const chances = (env) => ({ duplicates: Number(env.STORM_DUPLICATES), crashes: Number(env.STORM_CRASHES) });
const tell = (done) => console.log(JSON.stringify({ at: "storm", ...done }));

export default {
  ...gateway,
  async fetch(request, env, context) {
    if (new URL(request.url).pathname !== "/storm/poison") return gateway.fetch(request, env, context);
    await env.USAGE.send(await request.json());
    return new Response(null, { status: 204 });
  },
  queue: mischievous(gateway.queue, chances, Math.random, tell),
};
