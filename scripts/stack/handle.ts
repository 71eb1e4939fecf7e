/** One part of a stack that can be taken down and brought up again while the rest runs on. */
import type { Supervisor } from "./supervisor.ts";

export type Handle = {
  /** Of its process, which leads a group. @throws Error while it does not run */
  pid(): number;
  /** Ends it with its whole group; "kill" is SIGKILL at once. */
  end(how: "ask" | "kill"): Promise<void>;
  /** Brings it up again at the same address, and returns when it answers. */
  start(): Promise<void>;
};

/** @param start brings the part up, as it was brought up before */
export function handle(supervisor: Supervisor, name: string, start: () => Promise<unknown>): Handle {
  return {
    pid: () => supervisor.part(name).pid,
    end: (how) => supervisor.end(name, how),
    start: async () => {
      await start();
    },
  };
}
