// The lab's own routes on each host's port, /lab/*: faults, pace, load, truth and journal. They need no key and no fault
// strikes them.
import type { ServerResponse } from "node:http";
import { readFault } from "./faults.ts";
import { BadField, type Json } from "./fields.ts";
import type { Machine } from "./machine.ts";
import { changePace } from "./pace.ts";
import { replyJson } from "./whole-reply.ts";

/** Answers one /lab/* request. */
export function control(machine: Machine, res: ServerResponse, method: string, path: string, body: Json): void {
  const { faults, strikes, truth, journal, pace, scheduler, open } = machine;
  const paceNow = (): unknown => ({ ...pace, maxQueued: pace.maxQueued ?? null });
  const load = (): unknown => ({
    running: scheduler.running,
    waiting: scheduler.waiting,
    most: scheduler.most,
    open: open.size,
  });
  const routes: Readonly<Record<string, Readonly<Record<string, () => unknown>>>> = {
    "/lab/fault": {
      GET: () => faults.list(),
      POST: () => {
        const fault = readFault(body);
        faults.add(fault);
        return fault;
      },
      DELETE: () => {
        faults.clear();
        return [];
      },
    },
    "/lab/pace": {
      GET: paceNow,
      POST: () => {
        changePace(pace, body);
        scheduler.fill();
        return paceNow();
      },
    },
    // `open` counts connections with a question on them, whatever becomes of it. `most` is what ran and waited at once since the last DELETE: a caller that keeps to the slots never exceeds them.
    "/lab/load": {
      GET: load,
      DELETE: () => {
        scheduler.forgetMost();
        return load();
      },
    },
    "/lab/strikes": {
      GET: () => strikes.list(),
      DELETE: () => {
        strikes.clear();
        return [];
      },
    },
    "/lab/truth": {
      GET: () => truth.list(),
      DELETE: () => {
        truth.clear();
        return [];
      },
    },
    "/lab/requests": {
      GET: () => journal.list(),
      DELETE: () => {
        journal.clear();
        return [];
      },
    },
  };
  const route = routes[path];
  if (route === undefined) {
    replyJson(res, 404, { error: `no such lab route; there are ${Object.keys(routes).join(", ")}` });
    return;
  }
  const run = route[method];
  if (run === undefined) {
    const allow = Object.keys(route).join(", ");
    replyJson(res, 405, { error: `use ${allow} on ${path}` }, { allow });
    return;
  }
  try {
    replyJson(res, 200, run());
  } catch (problem) {
    if (!(problem instanceof BadField)) throw problem;
    replyJson(res, 400, { error: problem.message, field: problem.field });
  }
}
