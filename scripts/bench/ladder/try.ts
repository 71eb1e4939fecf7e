import { openGround } from "./ground.ts";
import { LADDERS } from "./ladders.ts";
import { pathOf } from "./rungs.ts";
import { cpuUsOf, waitedUsOf } from "../load/process-cost.ts";
const signal = new AbortController().signal;
const g = await openGround({ folder: process.argv[2], kept: process.argv[2], print: () => {}, signal });
try {
  for (const name of (process.argv[3] ?? "settle").split(",")) {
  const t = name === "bare" ? g.bare : { ...g.gateway, url: new URL(pathOf(name), g.gateway.url).href };
  let total = 0;
  for (let i = 0; i < Number(process.argv[4] ?? 8); i++) {
    const a = cpuUsOf(t.groups); const w = waitedUsOf(t.groups);
    const seen = await g.load({ ...LADDERS[0].load, target: t, warmUpMs: 0, forMs: 2000, isToEnd: true });
    await new Promise(r => setTimeout(r, 500));
    total += seen.requests;
    console.log(name, total, seen.requests, ((cpuUsOf(t.groups) - a) / seen.requests).toFixed(0), "waited/ran", ((waitedUsOf(t.groups)-w)/(cpuUsOf(t.groups)-a)).toFixed(2), "util", (seen.cpuUs / seen.windowMs / 10).toFixed(0));
  } }
} finally { await g.stop(); }
