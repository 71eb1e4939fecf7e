/**
 * The gateway's Worker as it is deployed, and beside its own routes those of the rungs. Only `npm run bench -- --ladder`
 * runs it.
 */
import { app } from "#src/app.ts";
import gateway from "#src/index.ts";
import { conduct } from "#src/ingress/conduct.ts";
import { pathOf } from "../rungs.ts";
import { CUTS } from "./cuts.ts";
import { passOn } from "./pass-on.ts";

export * from "#src/index.ts";

app.post(pathOf("hono"), (c) => passOn(c.env, c.req.raw));
for (const [name, cut] of Object.entries(CUTS))
  app.post(pathOf(name), (c) => conduct(c.req.raw, c.env, c.executionCtx, cut));

export default gateway;
